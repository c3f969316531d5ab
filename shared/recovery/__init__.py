"""What timers find and undo: runs whose orchestration is dead, leftovers, resources without a record."""
