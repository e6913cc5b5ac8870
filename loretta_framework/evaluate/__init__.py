"""Judges a trained model: likelihood, retrieval, the class of generations, galleries, and a report."""
