"""The sample application: actions, a page, and a demonstration of them."""
