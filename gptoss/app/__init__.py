"""The frame around every page: study, address, sidebar, live models, lesson, jobs."""
