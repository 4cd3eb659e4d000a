"""What holds for every tier."""

import os

from local.cluster.layout import OWNER_VARIABLE

# A run that is killed cleans nothing up, and clusters are detached from whoever starts them. Whoever runs several tiers
# on one cluster names itself before.
os.environ.setdefault(OWNER_VARIABLE, str(os.getpid()))
