"""What single pages need between the anatomy and its picture: remembered results, controls, and the lesson's words."""
