"""The usual ModelInfer, which asks for nothing but its outputs: checked in few operations, read and written without messages."""
