"""Implementation "packed": LSTM, GRU and relatives in C++, with weights packed for a few rows at once."""
