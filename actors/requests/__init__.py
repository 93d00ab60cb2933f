"""What a caller asks for: filters, contexts, pages, and which live rooms they mean. Never scores a room."""
