package keymgr_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
)

// apart are two servers that share nothing, and alice's manager for both, in that order.
func apart(t *testing.T, c mock.Config) (first, second *bench) {
	t.Helper()
	var err error
	c.PKI, err = mock.NewPKI()
	require.NoError(t, err)
	first = start(t, setting{mock: c, keymgr: isolating()})
	second = start(t, setting{mock: c, keymgr: keymgr.Config{ProjectIsolation: true}})
	config := first.server.Client()
	config.Hosts = append(config.Hosts, second.server.Addr())
	config.MaxRetries, config.RetryInterval = 3, time.Millisecond
	client := kmip.NewClient(config)
	t.Cleanup(func() { client.Close() })
	manager := lasting(10 * time.Second)
	manager.LeftBehind = func(server, name string) { first.left = append(first.left, server+" "+name) }
	first.Manager = keymgr.New(client, manager)
	return first, second
}

// away has a server go away in an operation, for so long that the client looks for another.
func (b *bench) away(o kmip.Operation) {
	b.server.Inject(mock.Fault{Operation: o, Action: mock.DropRequest}, mock.Fault{Action: mock.Refuse})
}

// TestObjectLeftBehindIsNamed has a create go on at a host to which the object has not come, as where hosts copy from each other with
// a delay. It is not left behind without a word.
func TestObjectLeftBehindIsNamed(t *testing.T) {
	a, _ := apart(t, mock.Config{NoBatches: true})
	a.create(alice, 256)
	a.server.Inject(mock.Fault{Operation: kmip.OpActivate, Action: mock.DropRequest}, mock.Fault{Action: mock.Refuse, Count: 1000})
	_, err := a.CreateKey(context.Background(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	require.ErrorContains(t, err, "under the Name "+a.server.Inventory()[1].Names[0])
	e, ok := err.(*protocol.Error)
	require.True(t, ok && e.MaybeExecuted)
}

// TestGoneBehindADestroy has a server that takes no batches go away for good when it has destroyed an object.
func TestGoneBehindADestroy(t *testing.T) {
	for _, force := range []bool{false, true} {
		b := start(t, setting{mock: mock.Config{NoBatches: true}, keymgr: keymgr.Config{ProjectIsolation: !force}})
		id := b.create(alice, 256)
		b.server.Inject(mock.Fault{Operation: kmip.OpRevoke, Action: mock.DropRequest}, mock.Fault{Action: mock.Refuse, Count: 1000})
		_, err := b.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: id, Force: force})
		require.NoError(t, err)
		require.Empty(t, b.server.Inventory())
	}
}

// TestNumbersOfAnotherHost has the conversation about an object go on at a host where its number is another object's.
func TestNumbersOfAnotherHost(t *testing.T) {
	ctx := context.Background()
	for _, single := range []bool{false, true} {
		a, b := apart(t, mock.Config{DecimalIDs: true, NoBatches: single})
		for range 4 {
			b.create(bob, 256)
		}
		untouched := b.server.Inventory()

		id := a.create(alice, 256)
		for _, o := range []kmip.Operation{kmip.OpDestroy, kmip.OpRevoke} {
			a.away(o)
			a.delete(alice, id)
			require.Empty(t, a.server.Inventory())
			require.Equal(t, untouched, b.server.Inventory())
			id = a.create(alice, 256)
		}
		a.away(kmip.OpAddAttribute)
		_, err := a.AddConsumer(ctx, alice, &protocol.ChangeConsumer{KeyID: id, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}})
		require.NoError(t, err)
		require.Len(t, a.get(alice, id).Consumers, 1)
		for _, o := range b.list(service) {
			require.Empty(t, o.Consumers)
		}
		if single { // or else Create and Activate are one message
			a.away(kmip.OpActivate)
			require.Equal(t, "active", a.get(alice, a.create(alice, 256)).State)
		}
		_, err = a.CreateKeyPair(ctx, alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		require.NoError(t, err)
		require.Equal(t, untouched, b.server.Inventory())
	}
}

// TestAnotherVersionLater has a server come back, in the middle of a session, that does not speak the version any more.
func TestAnotherVersionLater(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	first, err := mock.Start(mock.Config{PKI: pki})
	require.NoError(t, err)
	client := kmip.NewClient(first.Client())
	t.Cleanup(func() { client.Close() })
	m := keymgr.New(client, keymgr.Config{Timeout: 10 * time.Second})
	list := func() error {
		_, err := m.ListKeys(context.Background(), nil, &protocol.ListKeys{})
		return err
	}
	require.NoError(t, list())
	require.Equal(t, kmip.V1_4, client.Version())
	require.NoError(t, first.Close())

	second, err := mock.New(mock.Config{PKI: pki, Versions: mock.VersionRange{Min: kmip.V1_0, Max: kmip.V1_2}})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", first.Addr())
	require.NoError(t, err)
	var wait sync.WaitGroup
	wait.Go(func() { _ = second.Serve(listener) })
	t.Cleanup(func() {
		require.NoError(t, second.Close())
		wait.Wait()
	})
	require.NoError(t, list())
	require.Equal(t, kmip.V1_2, client.Version())
}

// TestNextOperationGoesAnywhere has a host go away behind an operation that had to stay with it, and a deadline of its own.
func TestNextOperationGoesAnywhere(t *testing.T) {
	a, _ := apart(t, mock.Config{DecimalIDs: true})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	id, err := a.CreateKey(ctx, alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	require.NoError(t, err)
	_, err = a.AddConsumer(ctx, alice, &protocol.ChangeConsumer{KeyID: id.KeyID, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}})
	require.NoError(t, err)
	a.server.Close()
	list, err := a.ListKeys(ctx, alice, &protocol.ListKeys{})
	require.NoError(t, err)
	require.Empty(t, list.Objects)
}

// fresh is another manager for the same hosts, as another process has it.
func fresh(t *testing.T, hosts ...*bench) *keymgr.Manager {
	t.Helper()
	config := hosts[0].server.Client()
	for _, b := range hosts[1:] {
		config.Hosts = append(config.Hosts, b.server.Addr())
	}
	config.MaxRetries, config.RetryInterval = 3, time.Millisecond
	client := kmip.NewClient(config)
	t.Cleanup(func() { client.Close() })
	return keymgr.New(client, lasting(10*time.Second))
}

// TestMadeAgainElsewhere has a host carry out a change, lose the answer and go away, and another, which does not know the
// object yet, make it again. The two must not be taken for each other by anybody, ever.
func TestMadeAgainElsewhere(t *testing.T) {
	for _, decimal := range []bool{false, true} {
		a, b := apart(t, mock.Config{DecimalIDs: decimal})
		a.list(alice)
		lost := func(o kmip.Operation) {
			a.server.Inject(mock.Fault{Operation: o, Action: mock.DropResponse}, mock.Fault{Action: mock.Refuse})
		}
		lost(kmip.OpCreate)
		id := a.create(alice, 256)
		lost(kmip.OpRegister)
		stored := a.store(alice, passphrase())
		lost(kmip.OpCreateKeyPair)
		_, err := a.CreateKeyPair(t.Context(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		require.NoError(t, err)

		names := map[string]bool{}
		for _, o := range append(a.server.Inventory(), b.server.Inventory()...) {
			require.False(t, names[o.Names[0]])
			names[o.Names[0]] = true
		}
		for _, id := range []string{id, stored} {
			want, err := fresh(t, b).GetKey(t.Context(), alice, &protocol.GetKey{KeyID: id})
			if err != nil { // it was made at the first host, which was back
				want, err = fresh(t, a).GetKey(t.Context(), alice, &protocol.GetKey{KeyID: id})
			}
			require.NoError(t, err)
			got, err := fresh(t, a, b).GetKey(t.Context(), alice, &protocol.GetKey{KeyID: id})
			require.NoError(t, err)
			require.Equal(t, []byte(want.Value), []byte(got.Value))
		}
	}
}

// TestHangingHost has a host take requests, carry them out, and not answer any. What it was to make is made at another.
func TestHangingHost(t *testing.T) {
	for name, makes := range map[string]func(ctx context.Context, m *keymgr.Manager) error{
		"create": func(ctx context.Context, m *keymgr.Manager) error {
			_, err := m.CreateKey(ctx, alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
			return err
		},
		"pair": func(ctx context.Context, m *keymgr.Manager) error {
			_, err := m.CreateKeyPair(ctx, alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
			return err
		},
		"store": func(ctx context.Context, m *keymgr.Manager) error {
			_, err := m.StoreKey(ctx, alice, &protocol.StoreKey{Object: passphrase()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := apart(t, mock.Config{})
			a.server.Inject(mock.Fault{Action: mock.Delay, Delay: time.Hour, Count: 100})
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			require.NoError(t, makes(ctx, a.Manager))
			first, second := a.server.Inventory(), b.server.Inventory()
			require.Len(t, second, len(first))
			require.NotEqual(t, first[0].Names, second[0].Names)
			var behind []string
			for _, o := range first {
				behind = append(behind, a.server.Addr()+" "+o.Names[0])
			}
			require.ElementsMatch(t, behind, a.left)
		})
	}
}

// TestSlowAnswer has a host make a key and be slow to say so: it is waited for half of the time, and then found.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	a, b := apart(t, mock.Config{})
	a.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Delay, Delay: time.Hour})
	id := a.create(alice, 256)
	require.Len(t, a.server.Inventory(), 1)
	require.Equal(t, 256, a.get(alice, id).BitLength)
	require.Empty(t, b.server.Inventory())
}

// TestLateServer has a host take more than half of the time for a create. It is not asked again meanwhile: it would make two.
func TestLateServer(t *testing.T) {
	t.Parallel()
	slow, other := &finding{shelf: newShelf()}, &finding{shelf: newShelf()}
	var creates atomic.Int32
	slow.before = func(p kmip.Payload) {
		if _, ok := p.(*kmip.Create); ok {
			creates.Add(1)
			time.Sleep(1500 * time.Millisecond)
		}
	}
	m := lieApart(t, lasting(2*time.Second), slow.serve, other.serve)
	made, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	require.EqualValues(t, 1, creates.Load())
	require.Equal(t, []string{made.KeyID}, slow.all())
	require.Empty(t, other.all())
}

// TestAbsentElsewhere has a host be asked to destroy a key, not do it and go away. Another does not know the key yet, which
// does not make it gone.
func TestAbsentElsewhere(t *testing.T) {
	for _, who := range []*protocol.Context{alice, service} {
		for _, force := range []bool{false, true} {
			a, b := apart(t, mock.Config{})
			id := a.create(alice, 256)
			a.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropRequest}, mock.Fault{Action: mock.Refuse, Count: 1000})
			_, err := a.DeleteKey(t.Context(), who, &protocol.DeleteKey{KeyID: id, Force: force})
			e, ok := err.(*protocol.Error)
			require.True(t, ok, "%v", err)
			require.Equal(t, protocol.Unavailable, e.Kind, "%v", err)
			require.True(t, e.Retryable && e.MaybeExecuted)
			require.Len(t, a.server.Inventory(), 1)
			require.Empty(t, b.server.Inventory())
		}
	}
}

// TestSilentHost has a host with a key not answer, and another not know the key yet. Nobody is told that it is not there.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	a, b := apart(t, mock.Config{})
	id := a.create(alice, 256)
	a.server.Inject(mock.Fault{Action: mock.Delay, Delay: time.Hour, Count: 1000})
	for name, ask := range map[string]func(context.Context, *keymgr.Manager) error{
		"get": func(ctx context.Context, m *keymgr.Manager) error {
			_, err := m.GetKey(ctx, alice, &protocol.GetKey{KeyID: id})
			return err
		},
		"copy": func(ctx context.Context, m *keymgr.Manager) error {
			_, err := m.CopyKey(ctx, alice, &protocol.CopyKey{KeyID: id})
			return err
		},
		"delete": func(ctx context.Context, m *keymgr.Manager) error {
			_, err := m.DeleteKey(ctx, alice, &protocol.DeleteKey{KeyID: id})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := ask(ctx, fresh(t, a, b))
		require.Equal(t, protocol.Unavailable, kind(err), "%s: %v", name, err)
		require.ErrorContains(t, err, a.server.Addr(), name)
	}
	require.Len(t, a.server.Inventory(), 1)
}

// TestHostThatOnlyAccepts has a host not know a key, and another take connections and say nothing, for longer than the
// deadline. Nobody is told that the key is not there, which would be the end of the volume.
func TestHostThatOnlyAccepts(t *testing.T) {
	t.Parallel()
	a, b := apart(t, mock.Config{})
	id := b.create(alice, 256)
	m := over(t, a, time.Minute, a.server.Addr(), through(t, b.server.Addr(), "h"))
	_, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{}) // so that it is connected
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = m.GetKey(ctx, alice, &protocol.GetKey{KeyID: id})
	require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
	require.True(t, problem(t, err).Retryable)
	require.ErrorContains(t, err, "no key "+id+" at one host, and another that may have it cannot be asked: context deadline exceeded")
}

// TestOnlyHostIsSilent has the only host take connections and say nothing, and then requests: it is said to have given no
// answer where it was asked anything.
func TestOnlyHostIsSilent(t *testing.T) {
	b := start(t, setting{mock: mock.Config{Faults: []mock.Fault{{Action: mock.Delay, Delay: time.Hour, Count: 1000}}}})
	unheard := port(t, mute)
	for host, says := range map[string]string{
		unheard:         "cannot reach " + unheard,
		b.server.Addr(): "no answer from " + b.server.Addr() + " before the deadline",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := over(t, b, time.Minute, host).GetKey(ctx, alice, &protocol.GetKey{KeyID: asked})
		require.ErrorContains(t, err, says)
	}
}

// TestThirdHostIsAsked has a key at the third host, and one before it that takes all the time it is given.
func TestThirdHostIsAsked(t *testing.T) {
	t.Parallel()
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	another := func() *bench { return start(t, setting{mock: mock.Config{PKI: pki}, keymgr: isolating()}) }
	first, second, third := another(), another(), another()
	second.server.Inject(mock.Fault{Action: mock.Delay, Delay: time.Hour, Count: 1000})
	id := third.create(alice, 256)
	for _, address := range []string{second.server.Addr(), through(t, second.server.Addr(), "h")} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		m := over(t, first, 5*time.Second, first.server.Addr(), address, third.server.Addr())
		_, err := m.GetKey(ctx, alice, &protocol.GetKey{KeyID: id})
		require.NoError(t, err)
	}
}

// TestBusyElsewhere has the host that has a key refuse to say so.
func TestBusyElsewhere(t *testing.T) {
	for reason, want := range map[kmip.ResultReason]protocol.Kind{
		kmip.ServerLimitExceeded: protocol.Unavailable, kmip.IdentityUnavailable: protocol.Unavailable,
		kmip.GeneralFailure: protocol.Internal, kmip.PermissionDenied: protocol.Forbidden,
	} {
		a, b := apart(t, mock.Config{})
		id := b.create(alice, 256)
		b.server.Inject(mock.Fault{Action: mock.Fail, Reason: reason, Count: 1000})
		_, err := a.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: id})
		require.Equal(t, want, kind(err), "%v: %v", reason, err)
		require.Equal(t, b.server.Addr(), problem(t, err).Server, reason)
	}
}

// TestLostDelete has a host destroy a key, lose the answer and forget it, while another is up that never had it.
func TestLostDelete(t *testing.T) {
	for _, who := range []*protocol.Context{alice, service} {
		a, _ := apart(t, mock.Config{Forgetful: true})
		id := a.create(alice, 256)
		a.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropResponse})
		_, err := a.DeleteKey(t.Context(), who, &protocol.DeleteKey{KeyID: id, Force: true})
		require.NoError(t, err)
		require.Empty(t, a.server.Inventory())
	}
}

// TestDeleteWhereTheKeyIsNot has a host with a key go away in the middle of a delete, after every number of connections. The
// delete may go on at another host, which never had the key: that does not make it gone.
func TestDeleteWhereTheKeyIsNot(t *testing.T) {
	t.Parallel()
	for connections := 1; connections < 7; connections++ {
		a, b := apart(t, mock.Config{})
		id := a.create(alice, 256)
		if connections > 1 {
			a.server.Inject(mock.Fault{Operation: kmip.OpDestroy, Action: mock.DropRequest})
		}
		a.server.Inject(mock.Fault{Operation: kmip.OpGetAttributes, Action: mock.Truncate, Bytes: 1 << 20, Count: 100})
		m := over(t, a, time.Second, through(t, a.server.Addr(), strings.Repeat("p", connections)+"c"), b.server.Addr())
		_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: id})
		if err == nil {
			require.Empty(t, a.server.Inventory(), connections)
		} else {
			require.Equal(t, protocol.Unavailable, kind(err), "%d: %v", connections, err)
		}
	}
}

// TestNameOfOneServer has a host lose a create and go away. What is then made elsewhere has another Name, and the first one is
// told: where no host can be reached in between, and where the helper makes the key itself.
func TestNameOfOneServer(t *testing.T) {
	t.Parallel()
	closing := mock.Fault{Action: mock.Truncate, Bytes: 1 << 20, Count: 100}
	refusing := mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.CryptographicFailure, Count: 100}
	for name, test := range map[string]struct {
		faults        []mock.Fault
		first, second string // see through
		length        int
	}{
		"no host for a while":      {[]mock.Fault{closing}, "pppc", "ccccp", 256},
		"made here":                {[]mock.Fault{refusing, closing}, "pppppc", "p", 512},
		"made here, refused there": {[]mock.Fault{closing}, "ppc", "p", 512},
	} {
		a, b := apart(t, mock.Config{})
		if name == "made here, refused there" {
			b.server.Inject(refusing)
		}
		a.server.Inject(append([]mock.Fault{{Operation: kmip.OpCreate, Action: mock.DropRequest}}, test.faults...)...)
		var sent, left []string
		config := lasting(10 * time.Second)
		config.LeftBehind = func(_, name string) { left = append(left, name) }
		m := overWith(t, a, config, time.Second, through(t, a.server.Addr(), test.first), through(t, b.server.Addr(), test.second))
		_, err := m.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: test.length})
		require.NoError(t, err, name)
		for _, o := range b.server.Inventory() {
			sent = append(sent, o.Names...)
		}
		require.Len(t, sent, 1, name)
		require.Len(t, left, 1, name)
		require.NotEqual(t, left, sent, name)
	}
}

// TestUnsentIsNotLate has a host lose a create, and then not be reached for a while: it is asked again all the same.
func TestUnsentIsNotLate(t *testing.T) {
	t.Parallel()
	a, _ := apart(t, mock.Config{})
	a.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.DropRequest},
		mock.Fault{Operation: kmip.OpLocate, Action: mock.Truncate, Bytes: 1 << 20, Count: 1000})
	m := over(t, a, 300*time.Millisecond, through(t, a.server.Addr(), "ppphhhhp"))
	_, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	require.Len(t, a.server.Inventory(), 1)
}

// TestLateServerIsLeftInPeace has a host be late, and no pause configured.
func TestLateServerIsLeftInPeace(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)
	slow, other := &finding{shelf: newShelf()}, &finding{shelf: newShelf()}
	var looks atomic.Int32
	slow.before = func(p kmip.Payload) {
		switch p.(type) {
		case *kmip.Create:
			<-end
		case *kmip.Locate:
			looks.Add(1)
		}
	}
	_, err := lieApart(t, lasting(2*time.Second), slow.serve, other.serve).CreateKey(t.Context(), alice, createAES(""))
	require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
	require.Less(t, looks.Load(), int32(30))
}

// over is a manager for those hosts, in the PKI of a bench's server.
func over(t *testing.T, b *bench, connect time.Duration, hosts ...string) *keymgr.Manager {
	t.Helper()
	return overWith(t, b, lasting(10*time.Second), connect, hosts...)
}

func overWith(t *testing.T, b *bench, with keymgr.Config, connect time.Duration, hosts ...string) *keymgr.Manager {
	t.Helper()
	config := b.server.Client()
	config.Hosts, config.ConnectTimeout = hosts, connect
	config.MaxRetries, config.RetryInterval = 3, 50*time.Millisecond
	client := kmip.NewClient(config)
	t.Cleanup(func() { client.Close() })
	return keymgr.New(client, with)
}

// through is the address of a relay to a server. Each letter is what becomes of one connection, the last of all further ones:
// it is passed on (p), closed (c) or left hanging (h).
func through(t *testing.T, server, letters string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wait sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		wait.Wait()
	})
	wait.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			switch letters[min(n, len(letters)-1)] {
			case 'c':
				conn.Close()
			case 'h':
				t.Cleanup(func() { conn.Close() })
			default:
				wait.Go(func() { relay(conn.(*net.TCPConn), server, &wait) })
			}
		}
	})
	return listener.Addr().String()
}

// relay passes on what both sides say. The end of the server's side comes with its last bytes, so that the client knows of it
// when it sends again.
func relay(client *net.TCPConn, address string, wait *sync.WaitGroup) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	wait.Go(func() {
		_, _ = io.Copy(server, client)
		server.Close()
	})
	var held []byte
	for buf := make([]byte, 1<<16); ; {
		_ = server.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
		n, err := server.Read(buf)
		held = append(held, buf[:n]...)
		switch {
		case err == nil:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			_, _ = client.Write(held)
			held = held[:0]
			continue
		}
		raw, _ := client.SyscallConn()
		_ = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 1) })
		_, _ = client.Write(held)
		return
	}
}

// TestConsumerRemovedElsewhere has a host not answer a removal, and another have a copy from before there was a consumer.
func TestConsumerRemovedElsewhere(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	defer close(hung)
	a, b := &finding{shelf: newShelf()}, &finding{shelf: newShelf()}
	m := lieApart(t, lasting(2*time.Second), a.serve, b.serve)
	made, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	b.objects[made.KeyID] = slices.Clone(a.objects[made.KeyID])
	args := &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}}
	_, err = m.AddConsumer(t.Context(), alice, args)
	require.NoError(t, err)

	var hangs atomic.Bool
	a.before = func(p kmip.Payload) {
		if _, removes := p.(*kmip.DeleteAttribute); removes {
			hangs.Store(true)
		}
		if hangs.Load() {
			<-hung
		}
	}
	_, err = m.RemoveConsumer(t.Context(), alice, args)
	e, ok := err.(*protocol.Error)
	require.True(t, ok, "%v", err)
	require.Equal(t, protocol.Unavailable, e.Kind)
	require.True(t, e.MaybeExecuted)
}

// TestActiveBehindAReadOnlyHost has a read-only host be the preferred one, and the other lose the answer to a create.
func TestActiveBehindAReadOnlyHost(t *testing.T) {
	clone, node := apart(t, mock.Config{})
	clone.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.PermissionDenied, Count: 100})
	node.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.DropResponse})
	id := clone.create(alice, 256)
	require.Len(t, node.server.Inventory(), 1)
	require.Equal(t, "active", node.get(alice, id).State)
}

// finding is a shelf that finds by Name, and for several connections.
type finding struct {
	*shelf
	mu     sync.Mutex
	before func(first kmip.Payload) // it carries a request out
}

func (f *finding) serve(m *kmip.RequestMessage) []kmip.ResponseItem {
	if f.before != nil {
		f.before(m.Items[0].Payload)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	located, ok := m.Items[0].Payload.(*kmip.Locate)
	if !ok {
		return f.shelf.serve(m)
	}
	found := &kmip.LocateResponse{}
	for _, id := range f.ids {
		if slices.Contains(f.objects[id].Names(), located.Attributes.Names()[0]) {
			found.UniqueIdentifiers = append(found.UniqueIdentifiers, id)
		}
	}
	return []kmip.ResponseItem{{Payload: found}}
}

// all are the identifiers of what it has made.
func (f *finding) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ids)
}

// TestNotYetCopied has the preferred host be a read-only one that hears of new objects later.
func TestNotYetCopied(t *testing.T) {
	for _, decimal := range []bool{false, true} {
		clone, node := apart(t, mock.Config{DecimalIDs: decimal})
		clone.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.PermissionDenied, Count: 100})
		id := clone.create(alice, 256)
		require.Empty(t, clone.server.Inventory())
		require.Equal(t, 256, clone.get(alice, id).BitLength)

		m := fresh(t, clone, node)
		_, err := m.GetKey(t.Context(), bob, &protocol.GetKey{KeyID: id})
		require.Equal(t, protocol.NotFound, kind(err))
		o, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: id})
		require.NoError(t, err)
		require.Equal(t, 256, o.BitLength)
		_, err = fresh(t, clone, node).DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: id})
		require.NoError(t, err)
		require.Empty(t, node.server.Inventory())
		_, err = m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: id})
		require.Equal(t, protocol.NotFound, kind(err))
	}
}

// lasting is isolating with a timeout for each operation.
func lasting(timeout time.Duration) keymgr.Config {
	c := isolating()
	c.Timeout = timeout
	return c
}

// readOnly is a host that shows what another has, and takes no changes.
func readOnly(of *finding, reason kmip.ResultReason) liar {
	refuse := each(func(kmip.Payload) kmip.ResponseItem { return fails(reason) })
	return func(m *kmip.RequestMessage) []kmip.ResponseItem {
		if m.Items[0].Operation.SafeToRepeat() {
			return of.serve(m)
		}
		return refuse(m)
	}
}

// withKey is a host at an address, with a key of alice's, and the authority of other hosts for the same objects.
func withKey(t *testing.T) (pki *mock.PKI, host *finding, address string, made *protocol.KeyID) {
	t.Helper()
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	host = &finding{shelf: newShelf()}
	address = listen(t, pki, liar(host.serve).converse)
	made, err = lieAt(t, pki, lasting(10*time.Second), address).CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	return pki, host, address, made
}

// TestChangedBehindAReadOnlyHost has the preferred host find objects, and take no changes of them.
func TestChangedBehindAReadOnlyHost(t *testing.T) {
	for _, reason := range []kmip.ResultReason{kmip.PermissionDenied, kmip.OperationNotSupported} {
		pki, err := mock.NewPKI()
		require.NoError(t, err)
		node := &finding{shelf: newShelf()}
		hosts := []string{listen(t, pki, readOnly(node, reason).converse), listen(t, pki, liar(node.serve).converse)}
		begin := func() *keymgr.Manager { return lieAt(t, pki, lasting(10*time.Second), hosts...) }
		made, err := begin().CreateKey(t.Context(), alice, createAES(""))
		require.NoError(t, err)

		consumer := protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}
		_, err = begin().AddConsumer(t.Context(), alice, &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: consumer})
		require.NoError(t, err)
		found, err := begin().GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
		require.NoError(t, err)
		require.Equal(t, []protocol.Consumer{consumer}, found.Consumers)

		_, err = begin().DeleteKey(t.Context(), bob, &protocol.DeleteKey{KeyID: made.KeyID, Force: true})
		require.Equal(t, protocol.NotFound, kind(err))
		_, err = begin().DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
		require.ErrorContains(t, err, "1 consumers")
		require.Len(t, node.objects, 1)
		_, err = begin().DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID, Force: true})
		require.NoError(t, err)
		require.Empty(t, node.objects)
	}
}

// TestReadOnlyHostsAlone has no host take changes: the refusal is the first one's.
func TestReadOnlyHostsAlone(t *testing.T) {
	pki, node, _, made := withKey(t)
	first := listen(t, pki, readOnly(node, kmip.PermissionDenied).converse)
	m := lieAt(t, pki, lasting(10*time.Second), first, listen(t, pki, readOnly(node, kmip.OperationNotSupported).converse))
	_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
	e := problem(t, err)
	require.Equal(t, protocol.Forbidden, e.Kind)
	require.Equal(t, first, e.Server)
	require.False(t, e.MaybeExecuted)
	require.Len(t, node.objects, 1)
}

// TestChangedWhereTheFinderIsGone has a host find an object and go away, and another have the same objects.
func TestChangedWhereTheFinderIsGone(t *testing.T) {
	pki, node, stays, made := withKey(t)
	begin := func() *keymgr.Manager {
		return lieAt(t, pki, lasting(10*time.Second), leaves(t, pki, node.serve, 1), stays)
	}
	_, err := begin().AddConsumer(t.Context(), alice, &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}})
	require.NoError(t, err)
	require.Len(t, node.objects[made.KeyID].Applications(), 4)
	_, err = begin().DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID, Force: true})
	require.NoError(t, err)
	require.Empty(t, node.objects)
}

// TestOtherHostIsInDoubt has the host that takes a change, in place of one that takes none, not answer it.
func TestOtherHostIsInDoubt(t *testing.T) {
	pki, node, _, made := withKey(t)
	second := listen(t, pki, liar(func(m *kmip.RequestMessage) []kmip.ResponseItem {
		if m.Items[0].Operation.SafeToRepeat() {
			return node.serve(m)
		}
		return nil // which is no answer
	}).converse)
	m := lieAt(t, pki, lasting(time.Second), listen(t, pki, readOnly(node, kmip.PermissionDenied).converse), second)
	_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
	e := problem(t, err)
	require.True(t, e.MaybeExecuted, "%v", err)
	require.Equal(t, second, e.Server)
}

// TestSwallowed has a host swallow an Activate and a Destroy until its part of the time is over. Neither does harm when it is
// asked for again.
func TestSwallowed(t *testing.T) {
	t.Parallel()
	var activates, destroys atomic.Int32
	s, other := newShelf(), newShelf()
	swallows := func(seen *atomic.Int32) bool {
		if seen.Add(1) > 1 {
			return false
		}
		time.Sleep(1500 * time.Millisecond)
		return true
	}
	first := func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch m.Items[0].Payload.(type) {
		case *kmip.Activate:
			if swallows(&activates) {
				return nil
			}
		case *kmip.Destroy:
			if swallows(&destroys) {
				return nil
			}
		}
		items := s.serve(m)
		if _, ok := m.Items[len(m.Items)-1].Payload.(*kmip.Activate); ok && len(m.Items) > 1 {
			items[len(items)-1] = fails(kmip.GeneralFailure)
		}
		return items
	}
	m := lieApart(t, keymgr.Config{Activate: true, Timeout: 2 * time.Second}, first, other.serve)
	made, err := m.CreateKey(t.Context(), service, createAES(""))
	require.NoError(t, err)
	require.EqualValues(t, 2, activates.Load())
	_, err = m.DeleteKey(t.Context(), service, &protocol.DeleteKey{KeyID: made.KeyID})
	require.NoError(t, err)
	require.EqualValues(t, 2, destroys.Load())
	require.Empty(t, s.objects)
}

// vanishes is the address of a host that goes away at the first change that it is asked for, and has carried that out or not.
func vanishes(t *testing.T, pki *mock.PKI, of *finding, carriedOut bool) string {
	t.Helper()
	var gone atomic.Bool
	return listen(t, pki, func(conn net.Conn) {
		liar(func(m *kmip.RequestMessage) []kmip.ResponseItem {
			if !gone.Load() && m.Items[0].Operation.SafeToRepeat() {
				return of.serve(m)
			}
			if !gone.Swap(true) && carriedOut {
				of.serve(m)
			}
			conn.Close()
			return nil
		}).converse(conn)
	})
}

// TestDoubtAboutTheFirst has a host go away at a change, and another have more to say of the object. What became of the change is
// as open as before.
func TestDoubtAboutTheFirst(t *testing.T) {
	consumer := protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	first, second := &finding{shelf: newShelf()}, &finding{shelf: newShelf()}
	begin := func(hosts ...string) *keymgr.Manager { return lieAt(t, pki, lasting(10*time.Second), hosts...) }
	made, err := begin(listen(t, pki, liar(first.serve).converse)).CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	second.ids, second.objects[made.KeyID] = first.ids, first.objects[made.KeyID]

	gone := vanishes(t, pki, first, false)
	_, err = begin(gone, listen(t, pki, readOnly(second, kmip.InvalidMessage).converse)).AddConsumer(t.Context(), alice,
		&protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: consumer})
	e := problem(t, err)
	require.True(t, e.MaybeExecuted, "%v", err)
	require.Equal(t, gone, e.Server)

	stays := listen(t, pki, liar(second.serve).converse)
	_, err = begin(stays).AddConsumer(t.Context(), alice, &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: consumer})
	require.NoError(t, err)
	gone = vanishes(t, pki, first, true)
	_, err = begin(gone, stays).DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
	e = problem(t, err)
	require.Equal(t, protocol.Unavailable, e.Kind)
	require.True(t, e.MaybeExecuted && e.Retryable)
	require.Equal(t, gone, e.Server)
	require.ErrorContains(t, err, "may have been destroyed; another host: ")
	require.ErrorContains(t, err, "1 consumers")
	require.Empty(t, first.objects)
	require.Len(t, second.objects, 1)
}

// TestDoubtAboutTheOther has a host carry a change out late that the first one did not take, and then not know the object.
func TestDoubtAboutTheOther(t *testing.T) {
	pki, node, _, made := withKey(t)
	changes := 0
	second := liar(func(m *kmip.RequestMessage) []kmip.ResponseItem {
		if m.Items[0].Operation.SafeToRepeat() {
			return node.serve(m)
		}
		if changes++; changes == 1 {
			return nil
		}
		return []kmip.ResponseItem{fails(kmip.ItemNotFound)}
	})
	m := lieAt(t, pki, lasting(10*time.Second), listen(t, pki, readOnly(node, kmip.PermissionDenied).converse), listen(t, pki, second.converse))
	_, err := m.AddConsumer(t.Context(), alice, &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: protocol.Consumer{Service: "s", ResourceType: "t", ResourceID: "i"}})
	require.True(t, problem(t, err).MaybeExecuted, "%v", err)
}

// TestThirdHostTakesTheChange has a host that takes no changes, one that does nothing at all, and one that works.
func TestThirdHostTakesTheChange(t *testing.T) {
	for _, reason := range []kmip.ResultReason{kmip.GeneralFailure, kmip.AuthenticationNotSuccessful} {
		pki, node, works, made := withKey(t)
		clone := listen(t, pki, readOnly(node, kmip.PermissionDenied).converse)
		broken := listen(t, pki, each(func(kmip.Payload) kmip.ResponseItem { return fails(reason) }).converse)

		m := lieAt(t, pki, lasting(10*time.Second), clone, broken)
		_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
		require.Equal(t, clone, problem(t, err).Server, "%v", err)
		_, err = m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
		require.NoError(t, err)

		_, err = lieAt(t, pki, lasting(10*time.Second), clone, broken, works).DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
		require.NoError(t, err)
		require.Empty(t, node.objects)
	}
}

// TestDemoted has a host take changes, come back from a restart and take none any more.
func TestDemoted(t *testing.T) {
	first, second := apart(t, mock.Config{})
	first.create(alice, 256)
	first.server.Inject(closes(kmip.OpLocate))
	require.Len(t, first.list(alice), 1)
	first.list(alice)
	first.server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.PermissionDenied, Count: 100})
	first.create(alice, 256)
	require.Len(t, second.server.Inventory(), 1)
}
