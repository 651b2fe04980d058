package tests

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kmip-keymgr/keystone/keystonetest"
)

// callers are the rows of the matrix. Those that do harm to Keystone come last.
func (r *realm) callers() []caller {
	return slices.Concat(r.entitled(), r.withRoles(), r.withService(), r.withBadTokens(), r.forgers(), r.fallen(), r.changed(),
		r.withoutToken(), r.fromCastellan(), r.elsewhere(), r.inTrouble())
}

// user is a caller who is an ordinary user of their own.
func (r *realm) user(name string, want verdict, make func(t *testing.T) keystonetest.User) caller {
	return caller{name: name, want: want, as: func(t *testing.T, c *caller) args { return r.context(t, c.is(make(t))) }}
}

func (r *realm) entitled() []caller {
	return []caller{
		r.user("alice", insider, func(*testing.T) keystonetest.User { return r.alice }),
		r.user("a colleague in alice's project", insider, func(t *testing.T) keystonetest.User { return r.member(t, "member") }),
		r.user("the admin of alice's project", insider, func(t *testing.T) keystonetest.User { return r.member(t, "admin") }),
		r.user("bob, of another project", stranger, func(*testing.T) keystonetest.User { return r.bob }),
		r.user("the admin of another project", stranger, func(t *testing.T) keystonetest.User { return r.ks.NewUser(t, "admin") }),
		{name: "alice's token alone", want: insider, as: func(t *testing.T, c *caller) args {
			return bare(r.ks.Token(t, c.is(r.alice)))
		}},
		{name: "alice, for another project of hers", want: stranger, as: func(t *testing.T, c *caller) args {
			u := r.member(t, "member")
			u.ProjectID, u.ProjectName = r.bob.ProjectID, r.bob.ProjectName
			r.grant(t, u, "member")
			return r.context(t, c.is(u))
		}},
		{name: "alice's application credential", want: insider, as: func(t *testing.T, c *caller) args {
			return about(c.is(r.alice), r.ks.ApplicationToken(t, r.ks.NewApplication(t, r.alice, keystonetest.Fields{})))
		}},
	}
}

// withRoles are users of alice's project who have one role there.
func (r *realm) withRoles() (list []caller) {
	for _, role := range []struct {
		name string
		want verdict
	}{
		{"creator", insider},
		{"service", insider},
		{"observer", observer},
		{"audit", auditor},
		{"key-manager:service-admin", auditor},
		{"reader", always("forbidden")},
	} {
		list = append(list, r.user("in alice's project, role "+role.name, role.want, func(t *testing.T) keystonetest.User {
			return r.member(t, role.name)
		}))
	}
	return list
}

// expired is a user's token that has run out.
func (r *realm) expired(t *testing.T, u keystonetest.User) (token string) {
	t.Helper()
	t.Run("expired", func(t *testing.T) {
		r.ks.Override(t, "token/expiration", "0")
		token = r.ks.Token(t, u)
	})
	return token
}

// restricted is a token of an application credential that is for something else.
func (r *realm) restricted(t *testing.T, u keystonetest.User) string {
	t.Helper()
	return r.ks.ApplicationToken(t, r.ks.NewApplication(t, u, keystonetest.Fields{
		"access_rules": []keystonetest.Fields{{"service": "volume", "method": "GET", "path": "/v3/volumes"}},
	}))
}

// withService are tokens that come with a service's.
func (r *realm) withService() []caller {
	row := func(name string, want verdict, tokens func(t *testing.T) (user, service string)) caller {
		return caller{name: name, want: want, as: func(t *testing.T, c *caller) args {
			user, service := tokens(t)
			return with(about(c.is(r.alice), user), args{"service_token": service})
		}}
	}
	return []caller{
		row("a good token and a service's", insider, func(t *testing.T) (string, string) {
			return r.ks.Token(t, r.alice), r.ks.Token(t, r.cinder)
		}),
		row("an expired token and a service's", insider, func(t *testing.T) (string, string) {
			return r.expired(t, r.alice), r.ks.Token(t, r.cinder)
		}),
		row("an expired token and one of no service", always("forbidden"), func(t *testing.T) (string, string) {
			return r.expired(t, r.alice), r.ks.Token(t, r.bob)
		}),
		row("an expired token and a service's that is expired", always("forbidden"), func(t *testing.T) (string, string) {
			return r.expired(t, r.alice), r.expired(t, r.cinder)
		}),
		row("a good token and garbage for a service's", always("forbidden"), func(t *testing.T) (string, string) {
			return r.ks.Token(t, r.alice), "garbage"
		}),
		row("a revoked token and a service's", always("forbidden"), func(t *testing.T) (string, string) {
			token := r.ks.Token(t, r.alice)
			r.ks.Revoke(t, token)
			return token, r.ks.Token(t, r.cinder)
		}),
		row("access rules and a service's token", insider, func(t *testing.T) (string, string) {
			return r.restricted(t, r.alice), r.ks.Token(t, r.cinder)
		}),
	}
}

// withBadTokens are refused for the token, whoever they say they are.
func (r *realm) withBadTokens() (list []caller) {
	for name, token := range map[string]func(t *testing.T) string{
		"expired": func(t *testing.T) string { return r.expired(t, r.alice) },
		"revoked": func(t *testing.T) string {
			token := r.ks.Token(t, r.alice)
			r.ks.Revoke(t, token)
			return token
		},
		"garbage":           func(*testing.T) string { return "gAAAAABgarbage" },
		"truncated":         func(t *testing.T) string { return strings.TrimRight(r.ks.Token(t, r.alice), "=")[:100] },
		"a space":           func(*testing.T) string { return " " },
		"8 KiB of garbage":  func(*testing.T) string { return strings.Repeat("x", 8<<10) },
		"64 KiB of garbage": func(*testing.T) string { return strings.Repeat("x", 64<<10) },
		"with a header":     func(t *testing.T) string { return r.ks.Token(t, r.alice) + "\r\nX-Auth-Token: x" },
		"not scoped":        func(t *testing.T) string { return r.ks.ScopedToken(t, r.alice, nil) },
		"with access rules": func(t *testing.T) string { return r.restricted(t, r.alice) },
		"for a domain": func(t *testing.T) string {
			u := r.member(t, "member")
			r.ks.Call(t, "PUT", "/domains/default/users/"+u.ID+"/roles/"+r.ks.Role(t, "admin"), nil, nil)
			return r.ks.ScopedToken(t, u, keystonetest.Fields{"domain": keystonetest.Fields{"id": "default"}})
		},
		"for the system": func(t *testing.T) string {
			u := r.member(t, "member")
			r.ks.Call(t, "PUT", "/system/users/"+u.ID+"/roles/"+r.ks.Role(t, "admin"), nil, nil)
			return r.ks.ScopedToken(t, u, keystonetest.Fields{"system": keystonetest.Fields{"all": true}})
		},
	} {
		list = append(list, caller{name: "token: " + name, want: always("forbidden"), as: func(t *testing.T, _ *caller) args {
			return about(r.alice, token(t))
		}})
	}
	slices.SortFunc(list, func(a, b caller) int { return strings.Compare(a.name, b.name) })
	return list
}

// forgers have a good token and lie beside it.
func (r *realm) forgers() []caller {
	forged := func(name string, want verdict, whose func(t *testing.T) keystonetest.User, lies args) caller {
		return caller{name: "forged: " + name, want: want, as: func(t *testing.T, c *caller) args {
			return with(r.context(t, c.is(whose(t))), lies)
		}}
	}
	alice := func(*testing.T) keystonetest.User { return r.alice }
	bob := func(*testing.T) keystonetest.User { return r.bob }
	in := func(role string) func(*testing.T) keystonetest.User {
		return func(t *testing.T) keystonetest.User { return r.member(t, role) }
	}
	no := always("forbidden")
	return []caller{
		forged("project_id, bob as of alice's project", no, bob, args{"project_id": r.alice.ProjectID}),
		forged("user_id, bob as alice", no, bob, args{"user_id": r.alice.ID}),
		forged("everything, bob as alice", no, bob, args{
			"user_id": r.alice.ID, "project_id": r.alice.ProjectID, "user_name": r.alice.Name, "project_name": r.alice.ProjectName,
		}),
		forged("project_id, alice as of bob's project", no, alice, args{"project_id": r.bob.ProjectID}),
		forged("user_domain_id", no, alice, args{"user_domain_id": "elsewhere"}),
		forged("project_domain_id", no, alice, args{"project_domain_id": "elsewhere"}),
		forged("roles, beside reader", no, in("reader"), args{"roles": []string{"admin", "member"}}),
		forged("is_admin, beside reader", no, in("reader"), args{"is_admin": true}),
		forged("roles and is_admin, beside observer", observer, in("observer"), args{"is_admin": true, "roles": []string{"admin"}}),
		forged("roles and is_admin, of bob's", stranger, bob, args{"is_admin": true, "roles": []string{"admin", "service"}}),
		forged("roles and is_admin, as elevated() does, of alice's", insider, alice, args{"is_admin": true, "roles": []string{"member", "admin"}}),
	}
}

// fallen have had a good token, and then something was taken from them.
func (r *realm) fallen() (list []caller) {
	for _, fall := range []struct {
		name string
		take func(t *testing.T, u keystonetest.User)
	}{
		{"user disabled", func(t *testing.T, u keystonetest.User) {
			r.ks.Change(t, "user", u.ID, keystonetest.Fields{"enabled": false})
		}},
		{"user deleted", func(t *testing.T, u keystonetest.User) { r.ks.Delete(t, "user", u.ID) }},
		{"password changed", func(t *testing.T, u keystonetest.User) {
			r.ks.Change(t, "user", u.ID, keystonetest.Fields{"password": "new"})
		}},
		{"last role withdrawn", func(t *testing.T, u keystonetest.User) { r.ks.Withdraw(t, u, "member") }},
		{"project disabled", func(t *testing.T, u keystonetest.User) {
			r.ks.Change(t, "project", u.ProjectID, keystonetest.Fields{"enabled": false})
		}},
		{"project deleted", func(t *testing.T, u keystonetest.User) { r.ks.Delete(t, "project", u.ProjectID) }},
	} {
		list = append(list, caller{name: fall.name, want: always("forbidden"), as: func(t *testing.T, _ *caller) args {
			u := r.ks.NewUser(t, "member")
			context := r.context(t, u)
			fall.take(t, u)
			return context
		}})
	}
	return list
}

// changed have other roles than when they got their token.
func (r *realm) changed() []caller {
	return []caller{
		{name: "member withdrawn, observer left", want: observer, as: func(t *testing.T, c *caller) args {
			u := r.member(t, "member", "observer")
			context := r.context(t, c.is(u))
			r.ks.Withdraw(t, u, "member")
			return context
		}},
		{name: "member granted to a reader", want: insider, as: func(t *testing.T, c *caller) args {
			u := r.member(t, "reader")
			context := r.context(t, c.is(u))
			r.ks.Grant(t, u, "member")
			return context
		}},
	}
}

// withoutToken are contexts as periodic tasks have them.
func (r *realm) withoutToken() []caller {
	refused := func(name string, context args) caller {
		return caller{name: name + ", tokenless = refuse", want: always("forbidden"), says: "tokenless", as: func(*testing.T, *caller) args {
			return context
		}}
	}
	served := func(name string, context func() args) caller {
		return caller{name: name + ", tokenless = service", want: stranger, as: func(_ *testing.T, c *caller) args {
			c.is(r.cinder)
			c.helper = r.asked
			return context()
		}}
	}
	return []caller{
		refused("no context", nil),
		refused("a context without a token", args{"user_id": r.alice.ID, "project_id": r.alice.ProjectID, "is_admin": true}),
		refused("an empty token", args{"auth_token": "", "user_id": r.alice.ID}),
		served("no context", func() args { return nil }),
		served("alice's name without a token", func() args { return with(about(r.alice, ""), args{"is_admin": true}) }),
		{name: "no context, tokenless = service by an application credential", want: stranger, as: func(t *testing.T, c *caller) args {
			a := r.ks.NewApplication(t, c.is(r.cinder), keystonetest.Fields{})
			c.helper = r.helper.serving(t, r.application(t, "kmip_service_user", a))
			return nil
		}},
		{name: "a token of alice's, tokenless = service", want: insider, as: func(t *testing.T, c *caller) args {
			c.helper = r.asked
			return r.context(t, c.is(r.alice))
		}},
		{name: "a bad token, tokenless = service", want: always("forbidden"), as: func(_ *testing.T, c *caller) args {
			c.helper = r.asked
			return bare("garbage")
		}},
		{name: "[kmip_service_user] with a wrong password", want: always("config"), says: "kmip_service_user", as: func(t *testing.T, c *caller) args {
			wrong := r.cinder
			wrong.Password = "wrong"
			c.helper = r.serviceHelper(t, wrong)
			return nil
		}},
		{name: "no [kmip_service_user]", want: always("config"), says: "kmip_service_user", as: func(t *testing.T, c *caller) args {
			c.helper = r.helper.with(t, "tokenless = service")
			return nil
		}},
	}
}

// password is Castellan's KeystonePassword for a user, as cinder makes it.
func (r *realm) password(u keystonetest.User) args {
	return args{"castellan": args{
		"type": "keystone_password", "auth_url": r.ks.URL, "username": u.Name, "password": u.Password, "user_id": nil,
		"user_domain_name": "Default", "project_name": u.ProjectName, "project_domain_name": "Default", "reauthenticate": true,
	}}
}

// fromCastellan are Castellan's own credentials in the place of a context.
func (r *realm) fromCastellan() []caller {
	row := func(name string, want verdict, u keystonetest.User, credential func(t *testing.T) args) caller {
		return caller{name: "castellan: " + name, want: want, as: func(t *testing.T, c *caller) args {
			c.is(u)
			return args{"castellan": credential(t)}
		}}
	}
	wrong := r.alice
	wrong.Password = "wrong"
	return []caller{
		{name: "castellan: KeystonePassword of alice's", want: insider, as: func(_ *testing.T, c *caller) args { return r.password(c.is(r.alice)) }},
		{name: "castellan: KeystonePassword of cinder's", want: stranger, as: func(_ *testing.T, c *caller) args { return r.password(c.is(r.cinder)) }},
		{name: "castellan: KeystonePassword, wrong", want: always("forbidden"), as: func(*testing.T, *caller) args { return r.password(wrong) }},
		row("KeystoneToken of alice's", insider, r.alice, func(t *testing.T) args {
			return args{"type": "keystone_token", "token": r.ks.Token(t, r.alice)}
		}),
		row("KeystoneToken to be scoped", insider, r.alice, func(t *testing.T) args {
			return args{"type": "keystone_token", "auth_url": r.ks.URL, "token": r.ks.ScopedToken(t, r.alice, nil), "project_id": r.alice.ProjectID}
		}),
		row("KeystoneToken for a project that is not the user's", always("forbidden"), r.bob, func(t *testing.T) args {
			return args{"type": "keystone_token", "auth_url": r.ks.URL, "token": r.ks.Token(t, r.bob), "project_id": r.alice.ProjectID}
		}),
		row("Token of alice's", insider, r.alice, func(t *testing.T) args {
			return args{"type": "token", "token": r.ks.Token(t, r.alice)}
		}),
		{name: "castellan: Token of bob's, and alice's project beside it", want: stranger, as: func(t *testing.T, c *caller) args {
			return args{"castellan": args{"type": "token", "token": r.ks.Token(t, c.is(r.bob))}, "project_id": r.alice.ProjectID}
		}},
		row("Token, garbage", always("forbidden"), r.alice, func(*testing.T) args { return args{"type": "token", "token": "garbage"} }),
		row("Token, empty", always("forbidden"), r.alice, func(*testing.T) args { return args{"type": "token", "token": ""} }),
		row("Password, which is not Keystone's", always("forbidden"), r.alice, func(*testing.T) args {
			return args{"type": "password", "username": r.alice.Name, "password": r.alice.Password}
		}),
		row("of a kind that is not known", always("invalid_request"), r.alice, func(*testing.T) args { return args{"type": "x"} }),
	}
}

// elsewhere are helpers and servers that are configured otherwise.
func (r *realm) elsewhere() []caller {
	alice := func(name string, want verdict, says string, configure func(t *testing.T) helper) caller {
		return caller{name: name, want: want, says: says, as: func(t *testing.T, c *caller) args {
			c.helper = configure(t)
			return r.context(t, c.is(r.alice))
		}}
	}
	list := []caller{
		alice("mode = standalone at this server", always("forbidden"), "credential", func(t *testing.T) helper { return r.helper.with(t, "mode = standalone") }),
		alice("mode = integrated at a mock in standalone mode", always("forbidden"), "credential type 0x80000001 is not supported", func(t *testing.T) helper {
			return helper{configs: []string{startMock(t).config}}.with(t, "mode = integrated")
		}),
		alice("mode = integrated at PyKMIP", always("config"), "mode", func(t *testing.T) helper {
			return helper{configs: []string{startPyKMIP(t, ecKey(t)).config}}.with(t, "mode = integrated")
		}),
		alice("a user name beside it", insider, "", func(t *testing.T) helper { return r.helper.with(t, "username = u", "password = p") }),
		alice("a user name beside it, KMIP 1.1", always("config"), "username", func(t *testing.T) helper {
			return r.helper.with(t, "username = u", "password = p", "kmip_version = 1.1")
		}),
		alice("a user name beside it, a server of KMIP 1.1", always("config"), "username", func(t *testing.T) helper {
			s := startMock(t, "--kmip-versions", "1.0-1.1", "--keystone", r.identity(t, "keystone_authtoken", r.kms))
			return helper{configs: []string{s.config}}.with(t, "username = u", "password = p")
		}),
	}
	for _, version := range []string{"1.0", "1.1", "1.2", "1.3", "2.0", "2.1"} {
		list = append(list, alice("KMIP "+version, insider, "", func(t *testing.T) helper { return r.helper.with(t, "kmip_version = "+version) }))
	}
	return list
}

// inTrouble is alice while something is wrong with Keystone, or with the server's own identity there. Her token is one that
// the server has not seen yet, but for one row.
func (r *realm) inTrouble() []caller {
	fresh := func(name string, want verdict, trouble func(t *testing.T, c *caller)) caller {
		return caller{name: name, want: want, as: func(t *testing.T, c *caller) args {
			context := r.context(t, c.is(r.alice))
			trouble(t, c)
			return context
		}}
	}
	other := func(t *testing.T, identity keystonetest.User, options ...string) helper {
		return helper{configs: []string{startMock(t, "--keystone", r.identity(t, "keystone_authtoken", identity, options...)).config}}
	}
	no := always("unavailable")
	return []caller{
		fresh("the server's password is wrong", no, func(t *testing.T, c *caller) {
			wrong := r.kms
			wrong.Password = "wrong"
			c.helper = other(t, wrong)
		}),
		fresh("the server's user is disabled", no, func(t *testing.T, c *caller) {
			u := r.ks.NewUser(t, "service")
			c.helper = other(t, u)
			r.ks.Change(t, "user", u.ID, keystonetest.Fields{"enabled": false})
		}),
		fresh("the server lacks the role to ask", no, func(t *testing.T, c *caller) { c.helper = other(t, r.ks.NewUser(t, "reader")) }),
		fresh("the server's own token is dead, and it gets another", insider, func(t *testing.T, _ *caller) {
			for _, password := range []string{"another", r.kms.Password} {
				r.ks.Change(t, "user", r.kms.ID, keystonetest.Fields{"password": password})
			}
			time.Sleep(1100 * time.Millisecond) // Keystone revokes to the second, new tokens of the same second too
		}),
		fresh("Keystone is slow", no, func(t *testing.T, c *caller) {
			c.helper = other(t, r.kms, "http_connect_timeout = 1")
			untilServed(t, c.helper.under(r.owner).ask) // it has its own token
			r.ks.Pause(t)
			t.Cleanup(func() { r.ks.Resume(t) })
		}),
		fresh("Keystone is back from being slow", insider, func(*testing.T, *caller) {}),
		fresh("Keystone is down", no, func(*testing.T, *caller) { r.ks.Stop() }),
		{name: "Keystone is down, and the server knows the token", want: insider, as: func(_ *testing.T, c *caller) args {
			c.is(r.alice)
			return r.owner
		}},
		{name: "Keystone is down, tokenless = service", want: no, as: func(_ *testing.T, c *caller) args {
			c.helper = r.asked
			return nil
		}},
		{name: "Keystone is down, KeystonePassword", want: no, as: func(_ *testing.T, c *caller) args {
			c.helper = r.asked
			return r.password(r.alice)
		}},
		{name: "Keystone is back", want: insider, as: func(t *testing.T, c *caller) args {
			r.ks.Restart(t)
			return r.context(t, c.is(r.alice))
		}},
	}
}
