#!/bin/sh
set -eu
echo "set up at $(date)" > /etc/motd
