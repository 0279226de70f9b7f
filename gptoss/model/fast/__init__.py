"""Quick ways to the numbers that `gptoss.model` writes out, each proved equal to the readable way by a test."""
