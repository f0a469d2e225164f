package natsd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/whisperer-oms/whisperer/services/internal/freeport"
)

// member holds the settings that make a server a member of a cluster.
type member struct {
	name   string
	port   int
	routes []*url.URL
}

// StartCluster starts n servers of one cluster on free ports. They store their streams in subfolders of
// Options.StoreDir. JetStream may need some more seconds until it can create streams.
func StartCluster(ctx context.Context, o Options, n int) ([]*Server, error) {
	members := make([]member, n)
	var routes []*url.URL
	for i := range members {
		port, err := freeport.Find(ctx)
		if err != nil {
			return nil, err
		}
		members[i] = member{name: fmt.Sprintf("whisperer-%d", i+1), port: port}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	var nodes []*Server
	for _, m := range members {
		m.routes = routes
		own := o
		own.StoreDir, own.Port, own.cluster = filepath.Join(o.StoreDir, m.name), RandomPort, &m
		node, err := Start(ctx, own)
		if err != nil {
			for _, n := range nodes {
				err = errors.Join(err, n.Shutdown(context.WithoutCancel(ctx)))
			}
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// apply adds the member's settings.
func (m *member) apply(settings *server.Options) {
	settings.ServerName = m.name
	settings.Cluster = server.ClusterOpts{Name: "whisperer", Host: "127.0.0.1", Port: m.port, NoAdvertise: true}
	settings.Routes = m.routes
}
