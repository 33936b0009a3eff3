// The test cluster's etcd, pinned apart from Sluice's own modules.
module github.com/sluice-mesh/sluice/test/cluster/programs/etcd

go 1.26.0

require go.etcd.io/etcd/server/v3 v3.6.8
