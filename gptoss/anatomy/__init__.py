"""What happens inside each component, computed apart from its picture: one file a page. No streamlit here."""
