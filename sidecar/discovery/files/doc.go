// Package files is discovery from a directory of ordinary Kubernetes manifests: Services, which have to say their
// clusterIP, and EndpointSlices, and what shard maps and weights are made of besides: StatefulSets, ConfigMaps and Pods, of which only the metadata
// counts. It is how the proxy runs without a cluster.
//
// Files named *.yaml, *.yml and *.json count, each with any number of documents or Lists of them; hidden files and
// subdirectories do not, and other kinds are passed over. Changes are followed through inotify, with a slow re-scan beside
// it for what inotify does not see (a symbolic link's target, some network file systems). A file is used as a whole or not
// at all: while it is broken, what it last said correctly stays in force.
package files
