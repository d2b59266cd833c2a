"""What can be seen of a running application from outside: its log lines, traces and spans."""
