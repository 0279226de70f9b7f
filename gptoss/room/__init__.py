"""The lecture room: running orders, rooms that phones follow, votes, and the presenter's window. No Streamlit, no torch."""
