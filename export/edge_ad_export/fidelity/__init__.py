"""How close a variant's scores and maps are to the imported model's, and which variants may be shipped."""
