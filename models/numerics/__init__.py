"""What layers and cells compute: functions of tensors, and the values that travel between them."""
