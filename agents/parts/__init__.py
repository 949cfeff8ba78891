"""What several agents share: settings, exploration, heads, minibatches."""
