"""What is sent from the console, followed until lists show it: a chat line, a viewer's event, a rule. Never draws."""
