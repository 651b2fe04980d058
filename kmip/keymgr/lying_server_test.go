package keymgr_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
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
	"kmip-keymgr/ttlv"
)

// liar is a server that answers as a test says, for what no honest server does.
type liar func(*kmip.RequestMessage) []kmip.ResponseItem

// lie starts a liar and returns a manager that talks to it.
func lie(t *testing.T, l liar, with ...keymgr.Config) *keymgr.Manager {
	t.Helper()
	config := keymgr.Config{ProjectIsolation: true, Timeout: time.Minute}
	if len(with) > 0 {
		config = with[0]
	}
	return lieApart(t, config, l)
}

// lieApart starts several liars and returns a manager for all, in that order.
func lieApart(t *testing.T, config keymgr.Config, liars ...liar) *keymgr.Manager {
	t.Helper()
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	var hosts []string
	for _, l := range liars {
		hosts = append(hosts, listen(t, pki, l.converse))
	}
	return lieAt(t, pki, config, hosts...)
}

// listen starts a server that has this conversation over each connection, and returns its address.
func listen(t *testing.T, pki *mock.PKI, converse func(net.Conn)) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pki.Server}})
	require.NoError(t, err)
	return accept(t, listener, converse)
}

// lieAt returns a manager for liars that were started.
func lieAt(t *testing.T, pki *mock.PKI, config keymgr.Config, hosts ...string) *keymgr.Manager {
	return lieIn(t, kmip.V1_4, pki, config, hosts...)
}

// lieIn is lieAt in a version.
func lieIn(t *testing.T, v kmip.Version, pki *mock.PKI, config keymgr.Config, hosts ...string) *keymgr.Manager {
	client := kmip.NewClient(kmip.Config{
		Hosts: hosts, Version: v, ConnectTimeout: 5 * time.Second, MaxRetries: 3, RetryInterval: time.Millisecond,
		TLS: kmip.TLS{Certificate: pki.Client, Roots: pki.Roots, MinVersion: tls.VersionTLS13},
	})
	t.Cleanup(func() { client.Close() })
	return keymgr.New(client, config)
}

func (l liar) converse(conn net.Conn) {
	for l.answer(conn) {
	}
}

// answer answers one request, and reports whether it could.
func (l liar) answer(conn net.Conn) bool {
	msg, err := ttlv.ReadMessage(conn, ttlv.TagRequestMessage, 1<<20)
	if err != nil {
		return false
	}
	var request kmip.RequestMessage
	var c ttlv.Coder
	if request.Decode(&c, msg) != nil {
		return false
	}
	response := kmip.ResponseMessage{Header: kmip.ResponseHeader{Version: request.Header.Version, TimeStamp: time.Now()}}
	response.Items = l(&request)
	for i := range response.Items {
		response.Items[i].ID = request.Items[i].ID
		response.Items[i].Operation = request.Items[i].Operation
	}
	reply, err := response.Append(&c, nil)
	if err != nil {
		return false
	}
	_, err = conn.Write(reply)
	return err == nil
}

const (
	asked   = "11111111-1111-4111-8111-111111111111"
	another = "22222222-2222-4222-8222-222222222222"
)

// shows answers a request for an object with an object of that identifier, Name and project.
func shows(request *kmip.RequestMessage, id, name, project string) []kmip.ResponseItem {
	var items []kmip.ResponseItem
	for _, item := range request.Items {
		var answer kmip.Payload
		switch item.Payload.(type) {
		case *kmip.GetAttributes:
			answer = &kmip.GetAttributesResponse{UniqueIdentifier: id, Attributes: kmip.Attributes{
				kmip.EnumAttribute(ttlv.TagObjectType, kmip.SymmetricKeyObject), kmip.NameAttribute(name),
				kmip.ApplicationAttribute("openstack-project-id", project),
			}}
		case *kmip.Get:
			answer = &kmip.GetResponse{UniqueIdentifier: id, Object: kmip.Object{
				Type: kmip.SymmetricKeyObject, Value: ttlv.BytesValue([]byte("sixteen bytes key")[:16]),
				KeyBlock: kmip.KeyBlock{Format: kmip.Raw, Algorithm: kmip.AES, Length: 128},
			}}
		case *kmip.Locate:
			answer = &kmip.LocateResponse{UniqueIdentifiers: []string{id}}
		}
		items = append(items, kmip.ResponseItem{Payload: answer})
	}
	return items
}

func refuses(request *kmip.RequestMessage, reason kmip.ResultReason) []kmip.ResponseItem {
	return []kmip.ResponseItem{{Status: kmip.StatusFailed, Reason: reason}}
}

func fails(reason kmip.ResultReason) kmip.ResponseItem {
	return kmip.ResponseItem{Status: kmip.StatusFailed, Reason: reason}
}

// each answers the items of a request one by one, and none behind one that fails unless it is told to go on.
func each(answer func(kmip.Payload) kmip.ResponseItem) liar {
	return func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
		for i := range m.Items {
			items = append(items, answer(m.Items[i].Payload))
			if items[i].Status != kmip.StatusSuccess && m.Header.ErrorContinuation != kmip.BatchContinue {
				break
			}
		}
		return items
	}
}

// TestLies asks servers that answer about other objects than those asked for. No key of theirs may come out.
func TestLies(t *testing.T) {
	locates := func(m *kmip.RequestMessage) bool { _, ok := m.Items[0].Payload.(*kmip.Locate); return ok }
	for name, answer := range map[string]liar{
		"another object": func(m *kmip.RequestMessage) []kmip.ResponseItem { return shows(m, another, another, "project-a") },
		"another object's attributes": func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := shows(m, asked, asked, "project-a")
			items[0] = shows(m, another, asked, "project-a")[0]
			return items
		},
		"another object's value": func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := shows(m, asked, asked, "project-a")
			items[len(items)-1] = shows(m, another, asked, "project-a")[len(items)-1]
			return items
		},
		"an object without the Name": func(m *kmip.RequestMessage) []kmip.ResponseItem {
			if locates(m) {
				return shows(m, "923", another, "project-a")
			}
			return refuses(m, kmip.ItemNotFound)
		},
		"an object of another project": func(m *kmip.RequestMessage) []kmip.ResponseItem {
			return shows(m, asked, asked, "project-b")
		},
		"no payload": func(m *kmip.RequestMessage) []kmip.ResponseItem { return []kmip.ResponseItem{{}, {}} },
	} {
		t.Run(name, func(t *testing.T) {
			m := lie(t, answer)
			o, err := m.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: asked})
			require.Error(t, err)
			require.Nil(t, o)
		})
	}
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem { return shows(m, asked, asked, "project-a") })
	o, err := m.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: asked})
	require.NoError(t, err, "the same answers pass where they are true")
	require.Len(t, o.Value, 16)
}

// TestShortKey has a server's key held against what the server claims of it.
func TestShortKey(t *testing.T) {
	cut := "begins as DER but is not one whole DER value"
	for _, test := range []struct {
		says   string
		damage func(*kmip.Object)
	}{
		{"128 bits where 256 are claimed", func(o *kmip.Object) { o.KeyBlock.Length = 256 }},
		{"128 bits where 112 are claimed", func(o *kmip.Object) { o.KeyBlock.Length = 112 }}, // as of DES with its parity
		{cut, cutDER(kmip.PKCS1)},
		{cut, cutDER(kmip.PKCS8)},
		{cut, cutDER(kmip.X509)},
		{cut, cutDER(kmip.ECPrivateKey)},
	} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := shows(m, asked, asked, "project-a")
			for i := range items {
				if got, ok := items[i].Payload.(*kmip.GetResponse); ok {
					test.damage(&got.Object)
				}
			}
			return items
		})
		_, err := m.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: asked})
		require.ErrorContains(t, err, test.says)
		require.Equal(t, protocol.Internal, kind(err))
	}
}

// TestSymmetricKeyOfAnotherForm has a server give a symmetric key in a form that is not that of such keys, and whose bytes are
// therefore not the key's.
func TestSymmetricKeyOfAnotherForm(t *testing.T) {
	for _, format := range []kmip.KeyFormatType{kmip.PKCS1, kmip.PKCS8, kmip.TransparentSymmetricKey, 0x80000001} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := shows(m, asked, asked, "project-a")
			for i := range items {
				if got, ok := items[i].Payload.(*kmip.GetResponse); ok {
					got.Object.KeyBlock.Format = format
					got.Object.Value.Data[0] = 0x30 // else it could not be a form of DER
				}
			}
			return items
		})
		_, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: asked})
		require.Equal(t, protocol.Unsupported, kind(err), "%v", err)
	}
}

// cutDER makes an object a key in a form of DER, of which the most is missing.
func cutDER(f kmip.KeyFormatType) func(*kmip.Object) {
	return func(o *kmip.Object) {
		o.Type, o.KeyBlock.Format, o.KeyBlock.Algorithm = kmip.PrivateKeyObject, f, kmip.EC
		o.Value = ttlv.BytesValue([]byte("\x30\x41\x02\x01\x00"))
	}
}

// TestRawPrivateKey has a key in no form of DER, that begins as if it were, and of which the server has two lengths, as one
// in bits and one in whole bytes.
func TestRawPrivateKey(t *testing.T) {
	raw := append(secret.Bytes{0x30}, make([]byte, 31)...)
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		items := shows(m, asked, asked, "project-a")
		for i := range items {
			switch got := items[i].Payload.(type) {
			case *kmip.GetAttributesResponse:
				got.Attributes = append(got.Attributes, kmip.IntAttribute(ttlv.TagCryptographicLength, int32(521)))
			case *kmip.GetResponse:
				got.Object.Type, got.Object.KeyBlock.Algorithm, got.Object.KeyBlock.Length = kmip.PrivateKeyObject, kmip.EC, 528
				got.Object.Value = ttlv.BytesValue(raw)
			}
		}
		return items
	})
	o, err := m.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: asked})
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, o.Value))
}

// TestHalfAPair has a server give no identifier for one half. A request without one would be about the ID Placeholder, which
// on some servers is the object that anyone made last.
func TestHalfAPair(t *testing.T) {
	for _, half := range []*kmip.CreateKeyPairResponse{{Private: asked}, {Public: asked}} {
		aimless := make(chan kmip.Operation, 100)
		m := lie(t, func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
			for i := range m.Items {
				items = append(items, kmip.ResponseItem{Payload: whatever(&m.Items[i], half, aimless)})
			}
			return items
		}, keymgr.Config{Activate: true, Timeout: 5 * time.Second})
		_, err := m.CreateKeyPair(context.Background(), alice, &protocol.CreateKey{Algorithm: "EC", Length: 256})
		require.Error(t, err)
		require.Empty(t, aimless)
	}
}

// whatever answers all requests about an object with success, and notes those that are about none.
func whatever(item *kmip.RequestItem, half *kmip.CreateKeyPairResponse, aimless chan<- kmip.Operation) kmip.Payload {
	note := func(id string) string {
		if id == "" {
			aimless <- item.Operation
		}
		return id
	}
	switch p := item.Payload.(type) {
	case *kmip.CreateKeyPair:
		return half
	case *kmip.Activate:
		return &kmip.ActivateResponse{UniqueIdentifier: note(p.UniqueIdentifier)}
	case *kmip.Revoke:
		return &kmip.RevokeResponse{UniqueIdentifier: note(p.UniqueIdentifier)}
	case *kmip.Destroy:
		return &kmip.DestroyResponse{UniqueIdentifier: note(p.UniqueIdentifier)}
	case *kmip.GetAttributes:
		return &kmip.GetAttributesResponse{UniqueIdentifier: note(p.UniqueIdentifier)}
	}
	return &kmip.LocateResponse{}
}

// TestLocateThatIgnoresTheName has a server whose Locate finds everything. What is not among the first objects may be there all the same: it
// is neither made again nor said to be gone.
func TestLocateThatIgnoresTheName(t *testing.T) {
	var names []string // of the objects 0, 1, 2, ...
	for range 30 {
		names = append(names, protocol.NewUUID())
	}
	old := names[29]
	var mu sync.Mutex
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		mu.Lock()
		defer mu.Unlock()
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Create:
			names = append(names, p.Attributes.Names()[0])
			return nil // so that nobody knows
		case *kmip.Locate:
			located := new(kmip.LocateResponse)
			for id := range names {
				located.UniqueIdentifiers = append(located.UniqueIdentifiers, strconv.Itoa(id))
			}
			return []kmip.ResponseItem{{Payload: located}}
		case *kmip.GetAttributes:
			if id, err := strconv.Atoi(p.UniqueIdentifier); err == nil {
				return shows(m, p.UniqueIdentifier, names[id], "project-a")
			}
		}
		return refuses(m, kmip.ItemNotFound)
	})
	_, err := m.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: old, MetadataOnly: true})
	require.ErrorContains(t, err, "Locate ignores the Name")
	require.Equal(t, protocol.Internal, kind(err))
	_, err = m.CreateKey(context.Background(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	require.ErrorContains(t, err, "under the Name "+names[30])
	require.Len(t, names, 31)
}

// TestLateAfterRefusal has a create given up, not found, tried again and refused. The first may still come through.
func TestLateAfterRefusal(t *testing.T) {
	var creates atomic.Int32
	var name atomic.Value
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Create:
			name.Store(p.Attributes.Names()[0])
			if creates.Add(1) == 1 {
				return nil // and is at it still
			}
			return refuses(m, kmip.ServerLimitExceeded)
		case *kmip.Locate:
			return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{}}}
		}
		return refuses(m, kmip.ItemNotFound)
	})
	_, err := m.CreateKey(context.Background(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
	inDoubt(t, err, kmip.ServerLimitExceeded, "under the Name "+name.Load().(string))
	require.EqualValues(t, 2, creates.Load())
}

// TestStrangersIdentifier has a server answer a Create with another object's identifier, and not show that object's Names.
// Where it tells in another way that the object is not the one made, it is not taken for it.
func TestStrangersIdentifier(t *testing.T) {
	for name, reply := range map[string]func(kmip.Payload) kmip.ResponseItem{
		"another has the Name": func(p kmip.Payload) kmip.ResponseItem {
			if _, ok := p.(*kmip.Locate); ok {
				return kmip.ResponseItem{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{another}}}
			}
			return kmip.ResponseItem{Status: kmip.StatusFailed, Reason: kmip.PermissionDenied}
		},
		"it has another Name": func(p kmip.Payload) kmip.ResponseItem {
			if _, ok := p.(*kmip.GetAttributes); ok {
				return kmip.ResponseItem{Payload: &kmip.GetAttributesResponse{UniqueIdentifier: asked, Attributes: kmip.Attributes{kmip.NameAttribute(another)}}}
			}
			return kmip.ResponseItem{Payload: &kmip.LocateResponse{}}
		},
		"it has no Name": func(p kmip.Payload) kmip.ResponseItem {
			if _, ok := p.(*kmip.GetAttributes); ok {
				return kmip.ResponseItem{Payload: &kmip.GetAttributesResponse{UniqueIdentifier: asked}}
			}
			return kmip.ResponseItem{Payload: &kmip.LocateResponse{}}
		},
		"nobody knows what has the Name": func(p kmip.Payload) kmip.ResponseItem {
			if _, ok := p.(*kmip.Locate); ok {
				return kmip.ResponseItem{} // which is no answer
			}
			return fails(kmip.PermissionDenied)
		},
		"there is none": func(p kmip.Payload) kmip.ResponseItem {
			if _, ok := p.(*kmip.GetAttributes); ok {
				return kmip.ResponseItem{Status: kmip.StatusFailed, Reason: kmip.ItemNotFound}
			}
			return kmip.ResponseItem{Payload: &kmip.LocateResponse{}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := lie(t, each(func(p kmip.Payload) kmip.ResponseItem {
				if _, ok := p.(*kmip.Create); ok {
					return kmip.ResponseItem{Payload: &kmip.CreateResponse{ObjectType: kmip.SymmetricKeyObject, UniqueIdentifier: asked}}
				}
				return reply(p)
			}))
			_, err := m.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 256})
			require.ErrorContains(t, err, "the object may exist under the Name ")
			require.True(t, err.(*protocol.Error).MaybeExecuted)
		})
	}
}

// TestNamesakeDestroyed has two objects of one Name, as after a create that came through late. The older was destroyed
// since, and its attributes are still shown: the other is the key.
func TestNamesakeDestroyed(t *testing.T) {
	for _, ids := range [][]string{{"1", "2"}, {"2", "1"}} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			switch p := m.Items[0].Payload.(type) {
			case *kmip.Locate:
				return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{UniqueIdentifiers: ids}}}
			case *kmip.GetAttributes:
				made := map[string]int64{"1": 1, "2": 2}[p.UniqueIdentifier]
				if made == 0 {
					break
				}
				items := shows(m, p.UniqueIdentifier, asked, "project-a")
				shown := items[0].Payload.(*kmip.GetAttributesResponse)
				state := map[int64]kmip.State{1: kmip.Destroyed, 2: kmip.Active}[made]
				shown.Attributes = append(shown.Attributes, kmip.EnumAttribute(ttlv.TagState, state),
					kmip.TimeAttribute(ttlv.TagInitialDate, time.Unix(made, 0)))
				return items
			}
			return refuses(m, kmip.ItemNotFound)
		})
		o, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: asked})
		require.NoError(t, err)
		require.EqualValues(t, 2, o.Created)
		require.Equal(t, "active", o.State)
	}
}

// lateDestroy is a server that does not answer the first Destroy, shows the object still, and does not know it at the next. It
// counts them.
func lateDestroy(destroys *int) liar {
	return func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch m.Items[0].Payload.(type) {
		case *kmip.Destroy:
			if *destroys++; *destroys == 1 {
				return nil
			}
			return []kmip.ResponseItem{fails(kmip.ItemNotFound), fails(kmip.ItemNotFound), fails(kmip.ItemNotFound)}
		case *kmip.GetAttributes:
			return shows(m, asked, asked, "project-a")
		}
		return refuses(m, kmip.ItemNotFound)
	}
}

// TestGoneInDoubt has the answer to a Destroy get lost, the object still be shown, and then be gone. Nobody knows whether
// that was this caller's doing: it is not said to be another's, and to ask again tells.
func TestGoneInDoubt(t *testing.T) {
	m := lie(t, lateDestroy(new(int)))
	_, err := m.DeleteKey(t.Context(), service, &protocol.DeleteKey{KeyID: asked, Force: true})
	require.Equal(t, protocol.Unavailable, kind(err), "%v", err)
	inDoubt(t, err, kmip.ItemNotFound, "the key "+asked+" may have been destroyed")
	require.True(t, err.(*protocol.Error).Retryable)
}

// TestLookAtAServerThatIgnoresTheName has a server lose a Create and then find other objects, more than are looked at. That
// the new one is not among them does not mean that it is not there.
func TestLookAtAServerThatIgnoresTheName(t *testing.T) {
	creates := 0
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Create:
			creates++
			return nil
		case *kmip.Locate:
			ids := make([]string, 17)
			for i := range ids {
				ids[i] = protocol.NewUUID()
			}
			return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{UniqueIdentifiers: ids}}}
		case *kmip.GetAttributes:
			return shows(m, p.UniqueIdentifier, another, "project-a")
		}
		return refuses(m, kmip.ItemNotFound)
	})
	_, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.True(t, problem(t, err).MaybeExecuted, "%v", err)
	require.Equal(t, 1, creates)
}

// TestTwinsOnAServerThatKeepsThem has a key with a twin, on a server that shows what is destroyed.
func TestTwinsOnAServerThatKeepsThem(t *testing.T) {
	states := map[string]kmip.State{"1": kmip.PreActive, "2": kmip.PreActive}
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Locate:
			return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{"1", "2"}}}}
		case *kmip.GetAttributes:
			state, there := states[p.UniqueIdentifier]
			if !there {
				break
			}
			items := shows(m, p.UniqueIdentifier, asked, "project-a")
			shown := items[0].Payload.(*kmip.GetAttributesResponse)
			shown.Attributes = append(shown.Attributes, kmip.EnumAttribute(ttlv.TagState, state))
			return items
		case *kmip.Destroy:
			states[p.UniqueIdentifier] = kmip.Destroyed
			return []kmip.ResponseItem{{Payload: &kmip.DestroyResponse{UniqueIdentifier: p.UniqueIdentifier}}, fails(kmip.ItemNotFound), fails(kmip.ItemNotFound)}
		}
		return refuses(m, kmip.ItemNotFound)
	})
	_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: asked})
	require.NoError(t, err)
	require.Equal(t, map[string]kmip.State{"1": kmip.Destroyed, "2": kmip.Destroyed}, states)
}

// TestGoneAtTheSecondDestroy has a Destroy not be answered, and show its effect late.
func TestGoneAtTheSecondDestroy(t *testing.T) {
	destroys := 0
	m := lie(t, lateDestroy(&destroys))
	_, err := m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: asked})
	require.NoError(t, err)
	require.Equal(t, 2, destroys)
}

// TestQuotedKeys has a server quote the keys that are registered without the caller's having said them: copies, and keys made
// here.
func TestQuotedKeys(t *testing.T) {
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		refusal := fails(kmip.InvalidField)
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Register:
			refusal.Message = fmt.Sprintf("bad key %x", p.Object.Value.Data)
			return []kmip.ResponseItem{refusal}
		case *kmip.Create:
			return []kmip.ResponseItem{refusal}
		}
		return shows(m, asked, asked, "project-a")
	})
	_, err := m.CopyKey(t.Context(), alice, &protocol.CopyKey{KeyID: asked})
	require.ErrorContains(t, err, `("bad key ***")`)
	_, err = m.CreateKey(t.Context(), alice, &protocol.CreateKey{Algorithm: "AES", Length: 512})
	require.ErrorContains(t, err, `("bad key ***")`)
}

// TestQuotedLater has a server quote a key in what it says of a later request.
func TestQuotedLater(t *testing.T) {
	var name, key string
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		refusal := fails(kmip.PermissionDenied)
		refusal.Message = "bad key " + key
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Register:
			if len(m.Items) > 1 {
				return refuses(m, kmip.FeatureNotSupported)
			}
			name, key = p.Attributes.Names()[0], fmt.Sprintf("%X", p.Object.Value.Data)
			return []kmip.ResponseItem{{Payload: &kmip.RegisterResponse{UniqueIdentifier: asked}}}
		case *kmip.Activate, *kmip.Destroy, *kmip.Revoke:
			return slices.Repeat([]kmip.ResponseItem{refusal}, len(m.Items))
		}
		return shows(m, asked, name, "project-a")
	}, keymgr.Config{Activate: true, ProjectIsolation: true, Timeout: time.Minute})
	_, err := m.StoreKey(t.Context(), alice, &protocol.StoreKey{Object: passphrase()})
	require.ErrorContains(t, err, `Activate: PermissionDenied ("bad key ***")`)
	require.NotContains(t, err.Error(), key)
}
