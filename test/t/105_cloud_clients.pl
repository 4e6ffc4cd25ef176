# The test cloud is held to the services' fact sheets: by programs that try its
# rules, and by clients that were not written here, which work with it as they work
# with the services. Each program of test/cloud/clients has a cloud of its own and
# prints a line for each check.
use strict;
use warnings;

use CloudClients;
use Test::More;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

CloudClients::run(
	['frame_rules.py'],
	['oauth_rules.py'],
	['oauth_google_python.py'],
	['oauth_microsoft_python.py'],
	['dropbox_rules.py'],
	['dropbox_spec.py'],
	['dropbox_python.py'],
	['dropbox_rclone.py'],
	[ 'dropbox_node.mjs', npm => ['dropbox@10'] ],
);
done_testing();
