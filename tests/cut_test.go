package tests

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
)

// The cut campaign: conversations between keymgr and the mock are cut after every N bytes, in either direction, and the
// objects are counted. CUT_STRIDE=1 takes every N; by default every 211th is taken.
func TestCuts(t *testing.T) {
	stride, err := strconv.Atoi(os.Getenv("CUT_STRIDE"))
	if err != nil {
		stride = 211
	}
	for _, kept := range []bool{false, true} {
		for _, hosts := range []int{1, 2} {
			for name, do := range verbs {
				t.Run(fmt.Sprintf("%s/session=%v/hosts=%d", name, kept, hosts), func(t *testing.T) {
					c := newCampaign(t, do, kept, hosts)
					c.run(stride)
					t.Logf("%d runs, %d successes, objects off by %d", c.runs, c.successes, c.strays)
					require.Equal(t, c.runs, c.successes)
					require.Zero(t, c.strays)
				})
			}
		}
	}
}

// verb is an operation under test. It returns how many objects more there should be, and an error where it failed or gave
// something wrong. key is a key that is there before.
type verb func(ctx context.Context, m *keymgr.Manager, key *protocol.Object) (int, error)

var verbs = map[string]verb{
	"create": func(ctx context.Context, m *keymgr.Manager, _ *protocol.Object) (int, error) {
		made, err := m.CreateKey(ctx, nil, &protocol.CreateKey{Algorithm: "AES", Length: 256})
		return 1, resolves(ctx, m, err, made, nil)
	},
	"pair": func(ctx context.Context, m *keymgr.Manager, _ *protocol.Object) (int, error) {
		made, err := m.CreateKeyPair(ctx, nil, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		if err != nil {
			return 2, err
		}
		return 2, resolves(ctx, m, nil, &protocol.KeyID{KeyID: made.PrivateKeyID}, nil)
	},
	"store": func(ctx context.Context, m *keymgr.Manager, _ *protocol.Object) (int, error) {
		value := secret.Bytes("a passphrase to keep")
		made, err := m.StoreKey(ctx, nil, &protocol.StoreKey{Object: &protocol.Object{Type: protocol.Passphrase, Value: value}})
		return 1, resolves(ctx, m, err, made, value)
	},
	"copy": func(ctx context.Context, m *keymgr.Manager, key *protocol.Object) (int, error) {
		made, err := m.CopyKey(ctx, nil, &protocol.CopyKey{KeyID: key.ID})
		return 1, resolves(ctx, m, err, made, key.Value)
	},
	"delete": func(ctx context.Context, m *keymgr.Manager, key *protocol.Object) (int, error) {
		_, err := m.DeleteKey(ctx, nil, &protocol.DeleteKey{KeyID: key.ID})
		return -1, err
	},
	"get": func(ctx context.Context, m *keymgr.Manager, key *protocol.Object) (int, error) {
		return 0, resolves(ctx, m, nil, &protocol.KeyID{KeyID: key.ID}, key.Value)
	},
}

// resolves reports whether what was made can be read and is Active, and has that value if one is given.
func resolves(ctx context.Context, m *keymgr.Manager, err error, made *protocol.KeyID, value secret.Bytes) error {
	if err != nil {
		return err
	}
	got, err := m.GetKey(ctx, nil, &protocol.GetKey{KeyID: made.KeyID})
	switch {
	case err != nil:
		return err
	case got.State != "active":
		return fmt.Errorf("%s is %s", made.KeyID, got.State)
	case value != nil && !bytes.Equal(got.Value, value):
		return fmt.Errorf("%s has another value", made.KeyID)
	}
	return nil
}

// campaign is one operation's conversations.
type campaign struct {
	t     *testing.T
	do    verb
	kept  bool // the connection has served before
	hosts int

	server                  *mock.Server
	relay                   *cutter
	direct                  *keymgr.Manager
	runs, successes, strays int
}

func newCampaign(t *testing.T, do verb, kept bool, hosts int) *campaign {
	server, err := mock.Start(mock.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	c := &campaign{t: t, do: do, kept: kept, hosts: hosts, server: server, relay: newCutter(t, server.Addr())}
	c.direct = c.manager(server.Client())
	return c
}

func (c *campaign) manager(config kmip.Config) *keymgr.Manager {
	config.MaxRetries, config.RetryInterval = 3, time.Millisecond
	client := kmip.NewClient(config)
	c.t.Cleanup(func() { client.Close() })
	return keymgr.New(client, keymgr.Config{Activate: true, Timeout: 10 * time.Second})
}

// run cuts after every N bytes, until a conversation is over before that.
func (c *campaign) run(stride int) {
	for _, toServer := range []bool{true, false} {
		for n := int64(0); ; n += int64(stride) {
			if !c.once(toServer, n) {
				break
			}
		}
	}
}

// once has one conversation, and reports whether it was cut.
func (c *campaign) once(toServer bool, n int64) bool {
	ctx := context.Background()
	config := c.server.Client()
	config.Hosts = []string{c.relay.addr, c.server.Addr()}[:c.hosts]
	config.MaxRetries, config.RetryInterval = 3, time.Millisecond
	client := kmip.NewClient(config)
	defer client.Close()
	m := keymgr.New(client, keymgr.Config{Activate: true, Timeout: 10 * time.Second})
	key := c.key(ctx)
	if !c.kept {
		c.relay.cut(toServer, n)
	} else if _, err := m.GetKey(ctx, nil, &protocol.GetKey{KeyID: key.ID}); err == nil {
		c.relay.cut(toServer, n)
	}
	before := c.count(ctx)
	more, err := c.do(ctx, m, key)
	cut := !c.relay.spare()
	c.runs++
	if err == nil {
		c.successes++
	} else {
		c.t.Logf("cut after %d bytes, to the server %v: %v", n, toServer, err)
	}
	c.strays += abs(c.count(ctx) - before - more)
	return cut
}

// key is a fresh key to work on. Keys of runs before it are removed, so that counting stays cheap.
func (c *campaign) key(ctx context.Context) *protocol.Object {
	list, err := c.direct.ListKeys(ctx, nil, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(c.t, err)
	for _, o := range list.Objects {
		_, err := c.direct.DeleteKey(ctx, nil, &protocol.DeleteKey{KeyID: o.ID, Force: true})
		require.NoError(c.t, err)
	}
	made, err := c.direct.CreateKey(ctx, nil, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	require.NoError(c.t, err)
	key, err := c.direct.GetKey(ctx, nil, &protocol.GetKey{KeyID: made.KeyID})
	require.NoError(c.t, err)
	return key
}

func (c *campaign) count(ctx context.Context) int {
	list, err := c.direct.ListKeys(ctx, nil, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(c.t, err)
	return len(list.Objects)
}

func abs(n int) int { return max(n, -n) }

// cutter carries connections to a server, and cuts one of them.
type cutter struct {
	addr, server string
	toServer     atomic.Bool
	left         atomic.Int64 // bytes until the cut; unlimited where nothing is to be cut
	done         atomic.Bool  // the cut has come
	wait         sync.WaitGroup
}

const unlimited = int64(1) << 60

func newCutter(t *testing.T, server string) *cutter {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &cutter{addr: listener.Addr().String(), server: server}
	r.left.Store(unlimited)
	r.wait.Go(func() { r.accept(listener) })
	t.Cleanup(func() {
		listener.Close()
		r.wait.Wait()
	})
	return r
}

// cut has the connection end that carries the next n bytes in one direction.
func (r *cutter) cut(toServer bool, n int64) {
	r.done.Store(false)
	r.toServer.Store(toServer)
	r.left.Store(n)
}

// spare takes the cut back, and reports whether it had not come yet.
func (r *cutter) spare() bool {
	r.left.Store(unlimited)
	return !r.done.Load()
}

func (r *cutter) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.server)
		if err != nil {
			client.Close()
			continue
		}
		r.wait.Go(func() { r.carry(server, client, true) })
		r.wait.Go(func() { r.carry(client, server, false) })
	}
}

// carry copies one direction until either end closes or the cut comes, and then closes both.
func (r *cutter) carry(to, from net.Conn, toServer bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		whole := int64(n)
		if r.toServer.Load() == toServer && !r.done.Load() {
			if left := r.left.Add(-whole); left <= 0 {
				r.done.Store(true)
				whole += left
				err = io.EOF
			}
		}
		if _, writeErr := to.Write(buf[:whole]); writeErr != nil || err != nil {
			return
		}
	}
}
