"""What people say about GPT-OSS, each claim once."""
