"""What tests of several folders share: scenes, small projects, published layouts, and the oracles of measures."""
