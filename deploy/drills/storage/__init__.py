"""`deploy/storage`: a real S3 server and a real Cloudreve behind the gateway, with faults in between."""
