"""What the figures of a run say: tables, targets, stored ratios, pictures.

Nothing is measured here. `tables` prints the figures of a scenario, `targets` compares them with
the limits that this library wants to keep, `ratios` with those that are stored in ``ratios.json``,
`checkouts` those of two checkouts with each other; `plots` draws (the only part that needs
matplotlib).
"""
