package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/tests/bench/floor/raw"
	"kmip-keymgr/ttlv"
)

const (
	connections = 8
	slice       = 500 * time.Millisecond
)

// servers measures how many Gets the mock answers beside a server that answers any message with as many bytes.
func servers(s *stage, n counts, t *table) error {
	get, err := s.plainGet()
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("get-reply"), get.reply, 0o600); err != nil {
		return err
	}
	echo, err := s.serve("echo", s.pki(), s.path("get-reply"))
	if err != nil {
		return err
	}
	rates, err := s.loadInTurns(n.slices, get, s.mock, echo)
	if err != nil {
		return err
	}
	const limit = 0.5
	ours, floor := median(rates[0]), median(rates[1])
	rate := func(r float64) string { return fmt.Sprintf("%.0f/s", r) }
	t.row(fmt.Sprintf("mock, Gets on %d connections", connections), rate(ours), rate(floor), times(ours/floor), ">= "+times(limit), verdict(ours >= limit*floor))
	return nil
}

// plainGet is a Get of the key and nothing else.
func (s *stage) plainGet() (exchange, error) {
	m := kmip.RequestMessage{
		Header: kmip.RequestHeader{Version: kmip.V1_4},
		Items:  []kmip.RequestItem{{Operation: kmip.OpGet, Payload: &kmip.Get{UniqueIdentifier: s.keyID}}},
	}
	request, err := m.Append(new(ttlv.Coder), nil)
	if err != nil {
		return exchange{}, err
	}
	reply, err := askOnce(s.mock, s.pki(), request)
	return exchange{request, reply}, err
}

// loadInTurns loads one server after the other, n times, and returns the rates of each.
func (s *stage) loadInTurns(n int, x exchange, addresses ...string) ([][]float64, error) {
	clients := make([][]*tls.Conn, len(addresses))
	for i, address := range addresses {
		conns, err := s.connect(address)
		defer hangUp(conns)
		if err != nil {
			return nil, err
		}
		clients[i] = conns
	}
	rates := make([][]float64, len(addresses))
	for range 1 + n {
		for i := range clients {
			rate, err := load(s.ctx, clients[i], x)
			if err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	for i := range rates {
		rates[i] = rates[i][1:] // the first was to warm up
	}
	return rates, nil
}

// connect opens as many connections as load a server.
func (s *stage) connect(address string) (conns []*tls.Conn, err error) {
	for range connections {
		conn, err := raw.Client(address, s.pki())
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func hangUp(conns []*tls.Conn) {
	for _, conn := range conns {
		conn.Close()
	}
}

// load exchanges the same messages on all connections at once, for a slice of time, and returns how many a second.
func load(ctx context.Context, conns []*tls.Conn, x exchange) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	var done atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, len(conns))
	start := time.Now()
	for i, conn := range conns {
		wait.Go(func() {
			n, err := repeat(ctx, conn, x)
			done.Add(n)
			errs[i] = err
		})
	}
	wait.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}

// repeat exchanges until the context ends, and returns how often.
func repeat(ctx context.Context, conn *tls.Conn, x exchange) (n int64, err error) {
	reply := make([]byte, len(x.reply))
	for ; ctx.Err() == nil; n++ {
		if _, err := conn.Write(x.request); err != nil {
			return n, err
		}
		if _, err := io.ReadFull(conn, reply); err != nil {
			return n, err
		}
	}
	return n, nil
}
