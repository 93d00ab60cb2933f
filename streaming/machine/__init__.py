"""What the machine beneath is asked for: free ports, private folders, what its processes were started with."""
