"""The rooms that know Streamlit: the model under study, its sidebar and address, caches, and page furniture."""
