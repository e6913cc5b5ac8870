"""What is checked on the device itself: each file gives checks by name, each check its figures."""
