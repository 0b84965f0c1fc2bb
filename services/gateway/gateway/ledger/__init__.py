"""The ledger of disclosures: who writes it before an answer leaves, and how periods are sealed."""
