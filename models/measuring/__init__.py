"""What of a network is measured: its agreement with the oracle and with its framework, its speed, its memory."""
