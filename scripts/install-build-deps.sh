#!/bin/bash
# Installs the Debian packages that a build needs, those that are missing. Without root it says which ones to install.
exec bash "$(dirname "$0")/install-packages.sh" build gcc musl-tools xz-utils
