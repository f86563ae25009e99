"""The cells: one time step of each recurrent layer, with the kernels that libraries have of it."""
