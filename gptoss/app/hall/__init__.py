"""The lecture in the app: who leads and who follows a room, votes on the screen, running orders, handouts."""
