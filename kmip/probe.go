package kmip

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Probe is a client of one host that can be taken to it step by step, for a report of what lies on the way: Resolve, Connect
// and Handshake, each after the one before it, and then operations. A client of several hosts passes over what does not serve;
// a probe tells of it.
type Probe struct {
	*Client
	reached net.Conn // by TCP alone
}

// Probes are those of a client's hosts, in order of preference, with its credentials. Close each after use.
func (c *Client) Probes() []*Probe {
	var all []*Probe
	for _, host := range c.config.Hosts {
		config := c.config
		config.Hosts, config.PassedOver = []string{host}, nil
		p := &Probe{Client: NewClient(config)}
		p.As(c.caller)
		all = append(all, p)
	}
	return all
}

// Host is the one that is probed, name:port.
func (p *Probe) Host() string { return p.config.Hosts[0] }

// Close hangs up.
func (p *Probe) Close() error {
	if p.reached != nil {
		p.reached.Close()
	}
	return p.Client.Close()
}

// Resolve gives the addresses of the host's name.
func (p *Probe) Resolve(ctx context.Context) ([]string, error) {
	ctx, cancel := p.config.attempt(ctx, time.Time{})
	defer cancel()
	name, _, err := net.SplitHostPort(p.Host())
	if err != nil {
		return nil, err
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return nil, inWords(ctx, err)
	}
	return addresses, nil
}

// Connect connects by TCP, and gives the address that took the connection.
func (p *Probe) Connect(ctx context.Context) (address string, err error) {
	ctx, cancel := p.config.attempt(ctx, time.Time{})
	defer cancel()
	if p.reached, err = reach(ctx, p.Host()); err != nil {
		return "", err
	}
	return p.reached.RemoteAddr().String(), nil
}

// Handshake shakes hands on that connection. A server that refuses the client's certificate may say so only to the first
// operation, in TLS 1.3.
func (p *Probe) Handshake(ctx context.Context) (tls.ConnectionState, error) {
	ctx, cancel := p.config.attempt(ctx, time.Time{})
	defer cancel()
	raw := p.reached
	p.reached = nil
	conn, err := p.config.TLS.handshake(ctx, raw, p.Host())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	p.adopt(conn, p.Host())
	return conn.ConnectionState(), nil
}

// Credentials reports whether operations carry any.
func (p *Probe) Credentials() bool { return p.caller != nil || len(p.config.Credentials) > 0 }

// Anonymous leaves the credentials out from here on.
func (p *Probe) Anonymous() { p.caller, p.config.Credentials = nil, nil }
