package tests

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/keystone/keystonetest"
)

// TestIntegrated is the matrix of who may do what in integrated mode: the real helper, the real mock and Debian's Keystone,
// every operation for every kind of caller. It prints what every caller saw.
func TestIntegrated(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	for _, c := range r.callers() {
		t.Run(c.name, func(t *testing.T) { r.try(t, &c) })
	}
	t.Logf("%s%d callers, %d operations; let in who should not be: %d, kept out who should not be: %d, otherwise wrong: %d",
		&r.table, r.rows, r.cells, r.letIn, r.keptOut, r.otherwise)
	require.Zero(t, r.letIn+r.keptOut+r.otherwise)
	require.GreaterOrEqual(t, r.rows, 30)
	r.stories(t)
}

// ok is the verdict on an operation that runs; every other is the kind of an error.
const ok = "ok"

// operations are all there are for callers, the harmless first. metadata is get_key without the value.
func operations() []string {
	return []string{
		"get_key", "metadata", "list_keys", "create_key", "create_key_pair", "store_key", "copy_key", "add_consumer",
		"remove_consumer", "delete_key",
	}
}

// A verdict is what a caller sees of an operation on a key of alice's project.
type verdict func(op string) string

func insider(string) string { return ok }

func stranger(op string) string {
	switch op {
	case "create_key", "create_key_pair", "store_key", "list_keys":
		return ok
	}
	return "not_found"
}

func observer(op string) string {
	switch op {
	case "get_key", "metadata", "list_keys":
		return ok
	}
	return "forbidden"
}

func auditor(op string) string {
	if op == "metadata" {
		return ok
	}
	return "forbidden"
}

func always(kind string) verdict { return func(string) string { return kind } }

// caller is one kind of caller.
type caller struct {
	name string
	want verdict
	// as makes the context when its turn comes, and notes who it is: some do harm to Keystone. It may change the helper.
	as   func(t *testing.T, c *caller) args
	says string // in every error's message

	helper        helper
	project, user string // whose objects are seen, and made
}

// is notes who the caller is, and returns the user.
func (c *caller) is(u keystonetest.User) keystonetest.User {
	c.project, c.user = u.ProjectID, u.ID
	return u
}

// realm is a Keystone with some people, a mock that asks it, and a helper that is configured for both.
type realm struct {
	ks     *keystonetest.Server
	mock   *server
	helper helper // tokenless = refuse
	asked  helper // tokenless = service

	alice, bob, kms, cinder keystonetest.User
	roles                   map[string]string // those that Keystone does not have from the beginning
	owner                   args              // alice's context, which the mock knows from the beginning
	kept                    string            // a key of alice's
	value                   any               // its value

	table                                  strings.Builder
	rows, cells, letIn, keptOut, otherwise int
}

func newRealm(t *testing.T) *realm {
	ks := keystonetest.Start(t)
	r := &realm{
		ks: ks, roles: map[string]string{},
		alice: ks.NewUser(t, "member"), bob: ks.NewUser(t, "member"), kms: ks.NewUser(t, "service"), cinder: ks.NewUser(t, "service"),
	}
	for _, name := range []string{"creator", "observer", "audit", "key-manager:service-admin"} {
		var made struct{ Role struct{ ID string } }
		ks.Call(t, "POST", "/roles", keystonetest.Fields{"role": keystonetest.Fields{"name": name}}, &made)
		r.roles[name] = made.Role.ID
	}
	r.mock = startMock(t, "--keystone", r.identity(t, "keystone_authtoken", r.kms, "http_connect_timeout = 20"))
	r.helper = helper{configs: []string{r.mock.config}}
	r.asked = r.serviceHelper(t, r.cinder)
	r.owner = r.context(t, r.alice)
	r.kept = r.create(t)
	r.value = get(t, r.helper.under(r.owner).ask, r.kept).Value
	return r
}

// identity writes a file with a section about a user, as keystonemiddleware spells it.
func (r *realm) identity(t *testing.T, section string, u keystonetest.User, options ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity.conf")
	writeLines(t, path, append([]string{
		"[" + section + "]", "auth_url = " + r.ks.URL, "auth_type = password",
		"username = " + u.Name, "password = " + u.Password, "user_domain_name = Default",
		"project_name = " + u.ProjectName, "project_domain_name = Default", "http_request_max_retries = 1",
	}, options...)...)
	return path
}

// application writes such a file about an application credential.
func (r *realm) application(t *testing.T, section string, a keystonetest.Application) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity.conf")
	writeLines(t, path, "["+section+"]", "auth_url = "+r.ks.URL, "auth_type = v3applicationcredential",
		"application_credential_id = "+a.ID, "application_credential_secret = "+a.Secret)
	return path
}

// serviceHelper is a helper that has an identity for callers without a token.
func (r *realm) serviceHelper(t *testing.T, u keystonetest.User, options ...string) helper {
	t.Helper()
	return r.helper.serving(t, r.identity(t, "kmip_service_user", u, options...))
}

// serving is the helper with [kmip_service_user] for callers without a token.
func (h helper) serving(t *testing.T, identity string) helper {
	t.Helper()
	h = h.with(t, "tokenless = service")
	h.configs = append(h.configs, identity)
	return h
}

// member is a new user in alice's project, with those roles.
func (r *realm) member(t *testing.T, roles ...string) keystonetest.User {
	t.Helper()
	u := r.ks.NewUserIn(t, r.alice.ProjectID, r.alice.ProjectName)
	r.grant(t, u, roles...)
	return u
}

func (r *realm) grant(t *testing.T, u keystonetest.User, roles ...string) {
	t.Helper()
	for _, role := range roles {
		if id := r.roles[role]; id != "" {
			r.ks.Call(t, "PUT", "/projects/"+u.ProjectID+"/users/"+u.ID+"/roles/"+id, nil, nil)
		} else {
			r.ks.Grant(t, u, role)
		}
	}
}

// context is what a service makes of a user's request: a token, and beside it what the service knows.
func (r *realm) context(t *testing.T, u keystonetest.User) args {
	t.Helper()
	return about(u, r.ks.Token(t, u))
}

func about(u keystonetest.User, token string) args {
	return args{
		"auth_token": token, "user_id": u.ID, "project_id": u.ProjectID, "user_domain_id": "default", "project_domain_id": "default",
		"user_name": u.Name, "project_name": u.ProjectName, "roles": []string{"member"}, "is_admin": false, "request_id": "req-matrix",
	}
}

// bare is a context with a token and nothing else.
func bare(token string) args { return args{"auth_token": token} }

// with is a context with other fields.
func with(context args, more args) args {
	context = maps.Clone(context)
	maps.Copy(context, more)
	return context
}

// under is the helper called with that context.
func (h helper) under(context args) helper {
	h.context = context
	return h
}

// create makes a key of alice's with a consumer. That her certificate is another one does not matter.
func (r *realm) create(t *testing.T) string {
	t.Helper()
	session := r.helper.as(t, r.mock.other).under(r.owner).session(t)
	id := keyID(t, session.ask(t, "create_key", args{"algorithm": "AES", "length": 256, "name": "alice's"}))
	require.Nil(t, session.ask(t, "add_consumer", args{"key_id": id, "consumer": volume("6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11")}).Error)
	require.Zero(t, session.end(t))
	return id
}

func volume(id string) args {
	return args{"service": "cinder", "resource_type": "volume", "resource_id": id}
}

// try lets a caller do everything, and notes what came of it.
func (r *realm) try(t *testing.T, c *caller) {
	victim := r.create(t) // to be deleted, perhaps
	c.helper = r.helper
	context := c.as(t, c)
	session := c.helper.under(context).session(t)
	r.rows++
	fmt.Fprintf(&r.table, "%-64s", c.name)
	for _, op := range operations() {
		r.cells++
		saw := r.judge(t, c, op, session.ask(t, apiName(op), r.arguments(op, victim)))
		fmt.Fprintf(&r.table, " %s %s;", op, saw)
	}
	r.table.WriteString("\n")
	session.end(t)
}

func apiName(op string) string {
	if op == "metadata" {
		return "get_key"
	}
	return op
}

func (r *realm) arguments(op, victim string) args {
	switch op {
	case "get_key", "copy_key":
		return args{"key_id": r.kept}
	case "metadata":
		return args{"key_id": r.kept, "metadata_only": true}
	case "list_keys":
		return args{"metadata_only": true}
	case "create_key":
		return args{"algorithm": "AES", "length": 256, "name": "made"}
	case "create_key_pair":
		return args{"algorithm": "EC", "length": 256, "name": "a pair"}
	case "store_key":
		return args{"object": object{Type: "passphrase", Name: "stored", Value: "70617373"}}
	case "add_consumer":
		return args{"key_id": victim, "consumer": volume(victim)}
	case "remove_consumer":
		return args{"key_id": victim, "consumer": volume("6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11")}
	}
	return args{"key_id": victim, "force": true}
}

// judge holds an answer against the verdict and returns what to write down.
func (r *realm) judge(t *testing.T, c *caller, op string, a response) string {
	want, saw := c.want(op), ok
	if a.Error != nil {
		saw = a.Error.Kind
	}
	switch {
	case saw == want:
	case saw == ok:
		r.letIn++
	case want == ok:
		r.keptOut++
	default:
		r.otherwise++
	}
	if saw != want {
		t.Errorf("%s: %s where it should be %s: %+v", op, saw, want, a.Error)
		return saw + "!"
	}
	if problem := r.closer(t, c, op, a); problem != "" {
		r.otherwise++
		t.Errorf("%s: %s", op, problem)
	}
	return saw
}

// closer looks at what an answer says: the right value, nobody else's objects, and made for the project.
func (r *realm) closer(t *testing.T, c *caller, op string, a response) string {
	if a.Error != nil {
		if !strings.Contains(a.Error.Message, c.says) {
			return fmt.Sprintf("%q does not say %q", a.Error.Message, c.says)
		}
		if a.Error.Retryable != (a.Error.Kind == "unavailable") {
			return fmt.Sprintf("retryable is %v", a.Error.Retryable)
		}
		return ""
	}
	var ids []string
	switch op {
	case "get_key":
		if a.Result.Object.Value != r.value {
			return "another value"
		}
	case "create_key", "store_key", "copy_key":
		ids = []string{a.Result.KeyID}
	case "create_key_pair":
		ids = []string{a.Result.PrivateKeyID, a.Result.PublicKeyID}
	case "list_keys":
		for _, o := range a.Result.Objects {
			ids = append(ids, o.ID)
		}
		if slices.Contains(ids, r.kept) != (c.project == r.alice.ProjectID) {
			return "alice's key is in the list, or it is not"
		}
	}
	return r.belong(t, c, op, ids)
}

// belong looks the objects up in the mock's own records.
func (r *realm) belong(t *testing.T, c *caller, op string, ids []string) string {
	entries := map[string]entry{}
	for _, e := range readInventory(t, filepath.Join(filepath.Dir(r.mock.config), "inventory.json")) {
		entries[e.ID] = e
	}
	for _, id := range ids {
		e := entries[id]
		if e.ProjectID != c.project || op != "list_keys" && e.UserID != c.user {
			return fmt.Sprintf("%s belongs to project %q, user %q", id, e.ProjectID, e.UserID)
		}
	}
	return ""
}
