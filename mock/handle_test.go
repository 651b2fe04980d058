package mock

import (
	"context"
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// bench is a session without a connection, whose client is known.
func bench(t testing.TB) *session {
	server, err := New(Config{DecimalIDs: true, Authenticate: trusting})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return newSession(server, tls.ConnectionState{})
}

func trusting(context.Context, *tls.ConnectionState, []kmip.Credential) (Identity, error) {
	return Identity{Owner: "client"}, nil
}

// afresh forgets all objects and runs a request, which makes the object 1.
func (s *session) afresh(request []byte) {
	s.server.store.clear()
	s.server.store.serial = 0
	s.answer(request)
}

// samples are requests of every operation, in a version, about the object 1, which the first of them makes.
func samples(t testing.TB, v kmip.Version) [][]byte {
	key := kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES), kmip.IntAttribute(ttlv.TagCryptographicLength, int32(128)),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt), kmip.NameAttribute("n"), kmip.ApplicationAttribute("ns", "d"),
	}
	pair := kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.EC), kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
	}
	object := kmip.Object{Type: kmip.SymmetricKeyObject, Value: ttlv.BytesValue(make([]byte, 16)), KeyBlock: kmip.KeyBlock{Format: kmip.Raw, Algorithm: kmip.AES, Length: 128}}
	name := kmip.NameAttribute("n")
	payloads := map[kmip.Operation]kmip.Payload{
		kmip.OpCreate:           &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: key},
		kmip.OpCreateKeyPair:    &kmip.CreateKeyPair{Common: pair, Private: key[2:3], Public: key[2:3]},
		kmip.OpRegister:         &kmip.Register{Attributes: key[:3], Object: object},
		kmip.OpLocate:           &kmip.Locate{MaximumItems: 1, Attributes: key[3:]},
		kmip.OpGet:              &kmip.Get{UniqueIdentifier: "1", Format: kmip.Raw},
		kmip.OpGetAttributes:    &kmip.GetAttributes{UniqueIdentifier: "1", Names: []kmip.AttributeName{{Tag: ttlv.TagName}}},
		kmip.OpGetAttributeList: &kmip.GetAttributeList{UniqueIdentifier: "1"},
		kmip.OpAddAttribute:     &kmip.AddAttribute{UniqueIdentifier: "1", Attribute: kmip.NameAttribute("m")},
		kmip.OpModifyAttribute:  &kmip.ModifyAttribute{UniqueIdentifier: "1", Current: &name, Attribute: kmip.NameAttribute("o")},
		kmip.OpDeleteAttribute:  &kmip.DeleteAttribute{UniqueIdentifier: "1", Name: kmip.AttributeName{Tag: ttlv.TagName}},
		kmip.OpActivate:         &kmip.Activate{UniqueIdentifier: "1"},
		kmip.OpRevoke:           &kmip.Revoke{UniqueIdentifier: "1", Code: kmip.KeyCompromise},
		kmip.OpDestroy:          &kmip.Destroy{UniqueIdentifier: "1"},
		kmip.OpQuery:            &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryOperations}},
		kmip.OpDiscoverVersions: &kmip.DiscoverVersions{Versions: []kmip.Version{v}},
	}
	var all [][]byte
	for _, o := range kmip.Operations() {
		require.Contains(t, payloads, o)
		m := kmip.RequestMessage{
			Header: kmip.RequestHeader{Version: v, MaxResponseSize: 4096, Credentials: []kmip.Credential{kmip.PasswordCredential("u", []byte("p"))}},
			Items:  []kmip.RequestItem{{Operation: o, ID: []byte("1"), Payload: payloads[o]}},
		}
		b, err := m.Append(new(ttlv.Coder), nil)
		require.NoError(t, err)
		all = append(all, b)
	}
	return all
}

// wellFormed makes sure that a reply is a response that a strict client reads.
func wellFormed(t require.TestingT, reply []byte) *kmip.ResponseMessage {
	var m kmip.ResponseMessage
	require.NoError(t, m.Decode(&ttlv.Coder{Strict: true}, slices.Clone(reply)))
	require.NotEmpty(t, m.Items)
	return &m
}

func TestSamplesSucceed(t *testing.T) {
	for _, v := range kmip.Versions() {
		s := bench(t)
		for i, request := range samples(t, v) {
			reply, goOn := s.answer(request)
			require.True(t, goOn)
			m := wellFormed(t, reply)
			o := kmip.Operations()[i]
			require.Equal(t, o.Since() <= v, m.Items[0].Status == kmip.StatusSuccess, "%v in %v: %v %s", o, v, m.Items[0].Reason, m.Items[0].Message)
			require.Equal(t, v, m.Header.Version)
		}
	}
}

// TestMutants: no request with one byte changed makes the server panic, or answer with what is no response.
func TestMutants(t *testing.T) {
	for _, v := range []kmip.Version{kmip.V1_0, kmip.V1_4, kmip.V2_1} {
		s := bench(t)
		all := samples(t, v)
		for _, request := range all {
			s.afresh(all[0])
			for at := range request {
				for _, with := range []byte{0x00, 0x80, 0xFF, request[at] ^ 1} {
					mutant := slices.Clone(request)
					mutant[at] = with
					reply, _ := s.answer(mutant)
					wellFormed(t, reply)
				}
			}
		}
	}
}

func FuzzHandle(f *testing.F) {
	for _, v := range kmip.Versions() {
		for _, request := range samples(f, v) {
			f.Add(request)
		}
	}
	s := bench(f)
	first := samples(f, kmip.V1_4)[0]
	f.Fuzz(func(t *testing.T, request []byte) {
		s.afresh(first)
		reply, _ := s.answer(request)
		wellFormed(t, reply)
	})
}

// TestKeysAreCleared: a destroyed key is not in memory any more.
func TestKeysAreCleared(t *testing.T) {
	s := bench(t)
	requests := samples(t, kmip.V1_4)
	s.answer(requests[0])
	o := s.server.store.objects["1"]
	key := o.Value.Data
	require.NotEqual(t, make([]byte, 16), key)
	require.NoError(t, s.server.store.with(&turn{client: Identity{Owner: "client"}}, "1", func(o *object) error {
		s.server.store.destroy(o, time.Now())
		return nil
	}))
	require.Equal(t, make([]byte, 16), key)
}

// TestRandomLives: whatever clients do, in whatever order, an object's state and its dates agree.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := bench(t)
		requests := samples(t, kmip.V1_4)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(requests)-1), 1, 30).Draw(r, "requests") {
			if kmip.Operations()[i] == kmip.OpCreateKeyPair {
				continue // slow, and no other object's concern
			}
			reply, _ := s.answer(requests[i])
			wellFormed(r, reply)
			for _, o := range s.server.store.objects {
				o.agree(r)
			}
		}
	})
}

// agree holds an object's state against its dates (section 3.22).
func (o *object) agree(t require.TestingT) {
	dates := func(tags ...ttlv.Tag) (have []bool) {
		for _, tag := range tags {
			have = append(have, o.has(tag))
		}
		return have
	}
	got := dates(ttlv.TagActivationDate, ttlv.TagDeactivationDate, ttlv.TagCompromiseDate, ttlv.TagDestroyDate)
	switch o.state() {
	case kmip.PreActive:
		require.Equal(t, []bool{false, false, false, false}, got)
	case kmip.Active:
		require.Equal(t, []bool{true, false, false, false}, got)
	case kmip.Deactivated:
		require.Equal(t, []bool{true, true, false, false}, got)
	case kmip.Compromised:
		require.True(t, got[2])
		require.False(t, got[3])
	default:
		require.Fail(t, "state", "%v", o.state())
	}
}
