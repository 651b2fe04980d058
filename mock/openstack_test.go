package mock_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/keystone"
	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

// fakeKeystone knows tokens that read "user project role,role". It is as fast as Keystone is slow; what Keystone itself
// accepts is for the whole-stack tests, which have the real one.
type fakeKeystone struct {
	*httptest.Server
	status  atomic.Int64  // to answer everything with, 0 for as it should
	hold    chan struct{} // what a token that starts with slow waits for
	arrived chan struct{}
}

func newKeystone(t testing.TB) (*fakeKeystone, *keystone.Client) {
	k := &fakeKeystone{hold: make(chan struct{}), arrived: make(chan struct{}, 1)}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	client, err := keystone.New(&keystone.Config{
		AuthURL: k.URL, UserID: "kms", Password: secret.Bytes("p"), ServiceRoles: []string{"service"}, Timeout: 10 * time.Second, CacheTime: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return k, client
}

func (k *fakeKeystone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("X-Subject-Token")
	if strings.HasPrefix(token, "slow") {
		k.arrived <- struct{}{}
		<-k.hold
	}
	fields := strings.Split(token, "_")
	switch status := int(k.status.Load()); {
	case status != 0:
		w.WriteHeader(status)
	case r.Method == http.MethodPost:
		w.Header().Set("X-Subject-Token", "own_own_service")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, tokenJSON("kms", "own", "service"))
	case len(fields) < 3:
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprint(w, tokenJSON(strings.TrimPrefix(fields[0], "slow"), fields[1], fields[2]))
	}
}

// tokenJSON is Keystone's answer; a project of "" is no scope.
func tokenJSON(user, project, roles string) string {
	type named struct {
		ID   string `json:"id,omitempty"`
		Name string `json:"name,omitempty"`
	}
	token := map[string]any{
		"user": map[string]any{"id": user, "name": user, "domain": named{"default", "Default"}}, "issued_at": time.Now(), "expires_at": time.Now().Add(time.Hour),
	}
	if project != "" {
		token["project"] = map[string]any{"id": project, "domain": named{"default", "Default"}}
	}
	var list []named
	for role := range strings.SplitSeq(roles, ",") {
		list = append(list, named{Name: role})
	}
	token["roles"] = list
	text, _ := json.Marshal(map[string]any{"token": token})
	return string(text)
}

// integrated is a server in integrated mode, its Keystone, and clients by their context.
func integrated(t testing.TB, config mock.Config) (k *fakeKeystone, s *mock.Server, as func(v kmip.Version, said kmip.RequestContext) *kmip.Client) {
	k, config.Keystone = newKeystone(t)
	s = start(t, config)
	return k, s, func(v kmip.Version, said kmip.RequestContext) *kmip.Client {
		c := connect(t, s.Client(), v)
		credential := kmip.OpenStackCredential(&said)
		c.As(&credential)
		return c
	}
}

func token(user, project, roles string) secret.Bytes {
	return secret.Bytes(user + "_" + project + "_" + roles)
}

// TestNothingRunsWithoutAnIdentity: no operation, in no version, and the one refusal is told from the other.
func TestNothingRunsWithoutAnIdentity(t *testing.T) {
	k, s, as := integrated(t, mock.Config{})
	alice := token("alice", "a", "member")
	for _, v := range kmip.Versions() {
		for name, c := range map[string]*kmip.Client{
			"no credential": connect(t, s.Client(), v),
			"no token":      as(v, kmip.RequestContext{UserID: "alice"}),
			"bad":           as(v, kmip.RequestContext{AuthToken: secret.Bytes("bad")}),
			"unscoped":      as(v, kmip.RequestContext{AuthToken: token("alice", "", "admin")}),
			"bad service":   as(v, kmip.RequestContext{AuthToken: alice, ServiceToken: secret.Bytes("bad")}),
			"user":          as(v, kmip.RequestContext{AuthToken: alice, UserID: "bob"}),
			"project":       as(v, kmip.RequestContext{AuthToken: alice, ProjectID: "b"}),
			"user domain":   as(v, kmip.RequestContext{AuthToken: alice, UserDomainID: "other"}),
			"domain":        as(v, kmip.RequestContext{AuthToken: alice, ProjectDomainID: "other"}),
		} {
			for _, r := range requests("1") {
				if r.Operation.Since() <= v {
					require.ErrorIs(t, run(t, c, r), kmip.AuthenticationNotSuccessful, "%v %s %v", v, name, r.Operation)
				}
			}
		}
		require.NoError(t, run(t, as(v, kmip.RequestContext{AuthToken: alice, UserID: "alice", ProjectID: "a", Roles: []string{"admin"}}), requests("")[0]))
		for status, reason := range map[int64]kmip.ResultReason{500: kmip.IdentityUnavailable, 403: kmip.IdentityUnavailable} {
			k.status.Store(status)
			fresh := as(v, kmip.RequestContext{AuthToken: token("alice", fmt.Sprintf("%v-%d", v, status), "member")})
			require.ErrorIs(t, run(t, fresh, requests("")[0]), reason)
			k.status.Store(0)
		}
	}
	require.Empty(t, s.Inventory())
}

// requests are one of each operation, about an object.
func requests(id string) []kmip.RequestItem {
	application := kmip.ApplicationAttribute("x", "y")
	return []kmip.RequestItem{
		item("", &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryObjects}}),
		item("", &kmip.DiscoverVersions{}),
		item("", &kmip.GetAttributes{UniqueIdentifier: id}),
		item("", &kmip.GetAttributeList{UniqueIdentifier: id}),
		item("", &kmip.Locate{}),
		item("", &kmip.Get{UniqueIdentifier: id}),
		item("", createAES()),
		item("", &kmip.CreateKeyPair{Common: kmip.Attributes{
			kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.EC), kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		}, Private: kmip.Attributes{mask(kmip.UsageSign)}, Public: kmip.Attributes{mask(kmip.UsageVerify)}}),
		item("", &kmip.Register{Object: passphrase("p"), Attributes: kmip.Attributes{mask(kmip.UsageEncrypt)}}),
		item("", &kmip.AddAttribute{UniqueIdentifier: id, Attribute: application}),
		item("", &kmip.ModifyAttribute{UniqueIdentifier: id, Current: &application, Attribute: kmip.ApplicationAttribute("x", "z")}),
		item("", &kmip.DeleteAttribute{UniqueIdentifier: id, Name: application.AttributeName, Current: &application}),
		item("", &kmip.Activate{UniqueIdentifier: id}),
		item("", &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise}),
		item("", &kmip.Destroy{UniqueIdentifier: id}),
	}
}

// run sends an item and tells what became of it.
func run(t testing.TB, c *kmip.Client, i kmip.RequestItem) error {
	t.Helper()
	switch p := i.Payload.(type) {
	case *kmip.Query:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.DiscoverVersions:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.GetAttributes:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.GetAttributeList:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Locate:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Get:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Create:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.CreateKeyPair:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Register:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.AddAttribute:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.ModifyAttribute:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.DeleteAttribute:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Activate:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Revoke:
		return outcome(kmip.Do(t.Context(), c, p))
	case *kmip.Destroy:
		return outcome(kmip.Do(t.Context(), c, p))
	}
	require.Fail(t, "no such operation", "%v", i.Operation)
	return nil
}

func outcome[R any](_ *R, err error) error { return err }

// TestProjectsDoNotSeeEachOther: another project's object is one that does not exist, in every operation and whatever the
// role; and every operation is tried.
func TestProjectsDoNotSeeEachOther(t *testing.T) {
	_, s, as := integrated(t, mock.Config{})
	for _, v := range []kmip.Version{kmip.V1_4, kmip.V2_1} {
		alice, root := as(v, kmip.RequestContext{AuthToken: token("alice", "a", "member")}), as(v, kmip.RequestContext{AuthToken: token("root", "b", "admin,service")})
		name := kmip.NameAttribute("of both")
		id := do(t, alice, createAES(name, kmip.ApplicationAttribute("x", "y"))).UniqueIdentifier
		before := s.Inventory()
		all := requests(id)
		require.Len(t, all, len(kmip.Operations()), "an operation is missing here")
		for _, r := range all {
			err := run(t, root, r)
			switch r.Operation {
			case kmip.OpQuery, kmip.OpDiscoverVersions, kmip.OpLocate, kmip.OpCreate, kmip.OpCreateKeyPair, kmip.OpRegister:
				require.NoError(t, err)
			default:
				require.ErrorIs(t, err, kmip.ItemNotFound, "%v", r.Operation)
				var none *kmip.ResultError
				require.ErrorAs(t, err, &none)
				require.Equal(t, fmt.Sprintf("no object %q", id), none.Message, "the words for one that does not exist")
			}
		}
		require.Subset(t, s.Inventory(), before)
		require.Empty(t, do(t, root, &kmip.Locate{Attributes: kmip.Attributes{name}}).UniqueIdentifiers)
		other := do(t, root, createAES(name)).UniqueIdentifier
		require.Equal(t, []string{other}, do(t, root, &kmip.Locate{Attributes: kmip.Attributes{name}}).UniqueIdentifiers)
		require.Equal(t, []string{id}, do(t, alice, &kmip.Locate{Attributes: kmip.Attributes{name}}).UniqueIdentifiers)
		refused(t, alice, createAES(name), map[bool]kmip.ResultReason{true: kmip.InvalidField, false: kmip.NonUniqueNameAttribute}[v < kmip.V2_0])
		do(t, alice, &kmip.Destroy{UniqueIdentifier: id})
		refused(t, root, &kmip.GetAttributes{UniqueIdentifier: id}, kmip.ItemNotFound)
		do(t, alice, &kmip.GetAttributes{UniqueIdentifier: id})
		do(t, root, &kmip.Destroy{UniqueIdentifier: other})
	}
}

// TestRoles is the table of docs/credential.md.
func TestRoles(t *testing.T) {
	_, _, as := integrated(t, mock.Config{})
	owner := as(kmip.V1_4, kmip.RequestContext{AuthToken: token("alice", "a", "member")})
	knows := []kmip.Operation{kmip.OpQuery, kmip.OpDiscoverVersions, kmip.OpGetAttributes, kmip.OpGetAttributeList}
	reads := append(slices.Clone(knows), kmip.OpLocate, kmip.OpGet)
	for roles, may := range map[string][]kmip.Operation{
		"admin": kmip.Operations(), "member": kmip.Operations(), "creator": kmip.Operations(), "service": kmip.Operations(),
		"observer": reads, "audit": knows, "key-manager:service-admin": knows,
		"reader": knows[:2], "Member": kmip.Operations(), "reader,audit": knows, "audit,observer": reads, "reader,member": kmip.Operations(),
	} {
		id := do(t, owner, createAES()).UniqueIdentifier
		c := as(kmip.V1_4, kmip.RequestContext{AuthToken: token("u", "a", roles)})
		for _, r := range requests(id) {
			err := run(t, c, r)
			if slices.Contains(may, r.Operation) {
				require.NoError(t, err, "%s %v", roles, r.Operation)
			} else {
				require.ErrorIs(t, err, kmip.PermissionDenied, "%s %v", roles, r.Operation)
			}
		}
	}
}

// TestClaims: what an object says of its owner is Keystone's answer, and stays.
func TestClaims(t *testing.T) {
	_, s, as := integrated(t, mock.Config{})
	project, user := kmip.ApplicationAttribute("openstack-project-id", "a"), kmip.ApplicationAttribute("openstack-user-id", "alice")
	for _, v := range []kmip.Version{kmip.V1_2, kmip.V2_1} {
		alice := as(v, kmip.RequestContext{AuthToken: token("alice", "a", "member")})
		bert := as(v, kmip.RequestContext{AuthToken: token("bert", "a", "member")})
		both := kmip.ApplicationAttribute("openstack", `{"openstack-project-id":"a","openstack-user-id":"alice"}`)
		for _, a := range []kmip.Attributes{nil, {project}, {project, user}, {both}, {kmip.ApplicationAttribute("openstack", "no JSON")}} {
			do(t, alice, createAES(a...))
		}
		for _, lie := range []kmip.Attribute{
			kmip.ApplicationAttribute("openstack-project-id", "b"), kmip.ApplicationAttribute("openstack-user-id", "bert"),
			kmip.ApplicationAttribute("openstack", `{"openstack-project-id":"b"}`),
			kmip.ApplicationAttribute("openstack", `{"openstack-user-id":"a","OpenStack-User-ID":"bert"}`),
		} {
			refused(t, alice, createAES(lie), kmip.PermissionDenied)
			refused(t, alice, createAES(project, user, lie), kmip.PermissionDenied)
			refused(t, alice, &kmip.Register{Object: passphrase("p"), Attributes: kmip.Attributes{mask(kmip.UsageEncrypt), lie}}, kmip.PermissionDenied)
			id := do(t, alice, createAES(project, user)).UniqueIdentifier
			refused(t, alice, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: lie}, kmip.PermissionDenied)
			refused(t, bert, &kmip.ModifyAttribute{UniqueIdentifier: id, Current: &project, Attribute: lie}, kmip.PermissionDenied)
		}
		id := do(t, alice, createAES(project, user)).UniqueIdentifier
		index := kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: kmip.ApplicationAttribute("other", "x")}
		remove := kmip.DeleteAttribute{UniqueIdentifier: id, Name: project.AttributeName}
		if v >= kmip.V2_0 {
			index.Current = &user
			refused(t, alice, &remove, kmip.PermissionDenied) // all instances
			remove.Current = &project
		}
		refused(t, alice, &index, kmip.PermissionDenied)
		refused(t, alice, &remove, kmip.PermissionDenied)
		do(t, bert, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.ApplicationAttribute("other", "x")})
		require.Equal(t, kmip.Attributes{project, user}[1].Value, attributesOf(t, bert, id, ttlv.TagApplicationSpecificInformation)[1].Value)
	}
	for _, e := range s.Inventory() {
		require.Equal(t, []string{"a", "alice"}, []string{e.ProjectID, e.UserID}, "as Keystone said, told or not")
	}
}

// TestASlowKeystoneKeepsNobodyElseWaiting: nobody whose token is known, nor the server's end.
func TestASlowKeystoneKeepsNobodyElseWaiting(t *testing.T) {
	k, _, as := integrated(t, mock.Config{})
	alice := as(kmip.V1_4, kmip.RequestContext{AuthToken: token("alice", "a", "member")})
	id := do(t, alice, createAES()).UniqueIdentifier
	slow := as(kmip.V1_4, kmip.RequestContext{AuthToken: token("slowbob", "b", "member")})
	finished := make(chan error, 1)
	go func() { finished <- run(t, slow, requests("")[0]) }()
	<-k.arrived
	do(t, alice, &kmip.Get{UniqueIdentifier: id})
	select {
	case <-finished:
		require.Fail(t, "it did not wait")
	default:
	}
	close(k.hold)
	require.NoError(t, <-finished)
}

// TestLongTokens are taken up to keystone.MaxToken.
func TestLongTokens(t *testing.T) {
	_, _, as := integrated(t, mock.Config{})
	for length, good := range map[int]bool{8 << 10: true, keystone.MaxToken: true, keystone.MaxToken + 1: false, 900 << 10: false} {
		text := token("alice", "a", "member")
		text = append(text, strings.Repeat(",x", length/2)...)[:length]
		err := run(t, as(kmip.V1_4, kmip.RequestContext{AuthToken: text}), requests("")[0])
		if good {
			require.NoError(t, err, "%d", length)
		} else {
			require.ErrorIs(t, err, kmip.AuthenticationNotSuccessful, "%d", length)
		}
	}
}

// TestOtherCredentials: two OpenStack credentials are one too many; a user is asked for where there are users.
func TestOtherCredentials(t *testing.T) {
	_, client := newKeystone(t)
	server := start(t, mock.Config{Keystone: client, Users: []mock.User{{Name: "fred", Password: []byte("p")}}})
	said := kmip.OpenStackCredential(&kmip.RequestContext{AuthToken: token("alice", "a", "member")})
	for name, test := range map[string]struct {
		credentials []kmip.Credential
		ok          bool
	}{
		"both":           {[]kmip.Credential{kmip.PasswordCredential("fred", []byte("p")), said}, true},
		"the other way":  {[]kmip.Credential{said, kmip.PasswordCredential("fred", []byte("p"))}, true},
		"wrong password": {[]kmip.Credential{kmip.PasswordCredential("fred", []byte("q")), said}, false},
		"no user":        {[]kmip.Credential{said}, false},
		"user alone":     {[]kmip.Credential{kmip.PasswordCredential("fred", []byte("p"))}, false},
		"two":            {[]kmip.Credential{kmip.PasswordCredential("fred", []byte("p")), said, said}, false},
	} {
		config := server.Client()
		config.Credentials = test.credentials
		_, err := kmip.Do(t.Context(), connect(t, config, kmip.V1_4), &kmip.Locate{})
		if test.ok {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, kmip.AuthenticationNotSuccessful, name)
		}
	}
}

func TestADamagedCredential(t *testing.T) {
	_, server, _ := integrated(t, mock.Config{})
	config := server.Client()
	damaged := kmip.OpenStackCredential(&kmip.RequestContext{AuthToken: token("alice", "a", "member"), UserID: "alice"})
	damaged.Value.Data[3] = byte(ttlv.TypeInteger)
	copy(damaged.Value.Data[4:8], []byte{0, 0, 0, 4})
	config.Credentials = []kmip.Credential{damaged}
	_, err := kmip.Do(t.Context(), connect(t, config, kmip.V1_4), &kmip.Locate{})
	require.Error(t, err)
	require.NotErrorIs(t, err, kmip.AuthenticationNotSuccessful)
}
