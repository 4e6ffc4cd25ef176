# The test cloud's Google Drive, OneDrive and SharePoint are held to their fact
# sheets, as 105 does with the rest of the cloud: by programs that try the rules, by
# Google's and Microsoft's own clients, and by rclone.
use strict;
use warnings;

use CloudClients;
use Test::More;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

CloudClients::run(
	['google_rules.py'],
	['google_python.py'],
	['google_rclone.py'],
	['graph_rules.py'],
	['graph_rclone.py'],
	[ 'google_spec.py', npm => ['@maxim_mazurok/gapi.client.drive-v3@0.3.20261012'] ],
	[ 'google_node.mjs', npm => ['@googleapis/drive@26.0.1'] ],
	[ 'graph_spec.py', npm => ['@microsoft/microsoft-graph-types@2.43.1'] ],
	[ 'graph_node.mjs', npm => ['@microsoft/microsoft-graph-client@3.0.7'] ],
);
done_testing();
