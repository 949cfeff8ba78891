"""Recurrent Replay Distributed DQN: an LSTM that learns from replayed sequences."""
