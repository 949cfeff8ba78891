"""Deep Q-networks, with double, dueling, n-step and prioritized as switches."""
