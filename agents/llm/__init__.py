"""One wire protocol to every model, recorded, budgeted and judged at the transport."""
