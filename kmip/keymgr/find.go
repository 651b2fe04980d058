package keymgr

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// found is an object as the server showed it.
type found struct {
	id         string // the server's identifier
	attributes kmip.Attributes
	record     record
	consumers  []protocol.Consumer
	value      *kmip.Object // nil where it was not asked for
	twins      bool         // others have the Name too
}

func newFound(shown *kmip.GetAttributesResponse, value *kmip.Object) *found {
	noted := shown.Attributes.Applications()
	return &found{shown.UniqueIdentifier, shown.Attributes, recordOf(noted), consumersOf(noted), value, false}
}

// shown are the attributes that make up what callers see of an object, and whose it is.
func shown() []kmip.AttributeName {
	return []kmip.AttributeName{
		{Tag: ttlv.TagObjectType},
		{Tag: ttlv.TagName},
		{Tag: ttlv.TagApplicationSpecificInformation},
		{Tag: ttlv.TagCryptographicAlgorithm},
		{Tag: ttlv.TagCryptographicLength},
		{Tag: ttlv.TagState},
		{Tag: ttlv.TagInitialDate},
		{Tag: ttlv.TagDeactivationDate},
	}
}

// find reads the object with that key id: by the server's identifier, or else by the Name. It is not found where it is
// destroyed or belongs to a project that the caller may not see.
func (m *Manager) find(ctx context.Context, who *protocol.Context, keyID string, value bool) (*found, error) {
	m.missed = false
	f, err := m.resolve(ctx, keyID, value)
	if isNotFound(err) {
		f, err = m.findElsewhere(ctx, keyID, value, err)
	}
	switch {
	case isNotFound(err), f != nil && (f.destroyed() || !m.visible(who, f)):
		return nil, notFound(keyID)
	case err != nil:
		return nil, err
	}
	return f, nil
}

// findElsewhere asks the other hosts for what one does not have: an object made at another may not have been copied to it yet.
// The error is why none gave it: of a host that may have it and does not say, else err, which is the first host's.
func (m *Manager) findElsewhere(ctx context.Context, keyID string, value bool, err error) (*found, error) {
	var f *found
	m.missed = m.client.Elsewhere(ctx, func(ctx context.Context) bool {
		there, why := m.resolve(ctx, keyID, value)
		if there != nil || !isNotFound(why) {
			if f, err = there, why; err != nil {
				err = m.fail(err) // which names the host that is asked, and is all that is told of it
			}
		}
		return there != nil
	})
	if isNotFound(err) && ctx.Err() != nil {
		err = notEverywhere(keyID, ctx.Err())
	}
	return f, err
}

// anywhere makes a change to an object at the host that has it or, where that takes no changes or went away in between, at
// another one, where the object is found anew: identifiers are each host's own. To make the change twice must do no harm. The
// error is the first host's, unless another knows more of the object, or may have made the change.
func (m *Manager) anywhere(ctx context.Context, change func(context.Context) error) error {
	err := change(ctx)
	if !m.client.MayServeElsewhere(err) || ctx.Err() != nil {
		return err
	}
	m.client.Pin(false)
	m.client.Elsewhere(ctx, func(ctx context.Context) bool {
		again := change(ctx)
		switch {
		case again == nil:
			err = nil
		case !outcomeUnknown(again) && !saysMore(again):
			return false
		case outcomeUnknown(err):
			err = &uncertain{err, []string{"another host: " + m.fail(again).Error()}}
		default:
			err = again
		}
		return true
	})
	return err
}

// saysMore reports whether an error is about the object as a host has it, such as that it has consumers.
func saysMore(err error) bool {
	var told *protocol.Error
	var revoked *revokedError
	return errors.As(err, &told) && told.Kind != protocol.NotFound || errors.As(err, &revoked)
}

// resolve reads the object with that key id as one host has it. Where the client has gone on to another in between, that one
// is asked from the beginning.
func (m *Manager) resolve(ctx context.Context, keyID string, value bool) (*found, error) {
	for {
		f, err := m.read(ctx, keyID, value)
		if f != nil || !mayHaveOtherID(err) {
			return f, err
		}
		refuser := m.client.Server()
		f, err = m.named(ctx, keyID, value, err)
		if m.client.Server() == refuser || f != nil || !isRefusal(err) {
			return f, err
		}
	}
}

// destroyed reports whether only the object's attributes are left, as some servers keep them.
func (f *found) destroyed() bool { return f.attributes.State().IsDestroyed() }

// mayHaveOtherID reports whether an identifier that failed may yet be a Name: the server refused it, for whichever reason it
// has for an identifier that it never gave out. What it revoked it knows.
func mayHaveOtherID(err error) bool {
	var revoked *revokedError
	return isRefusal(err) && !errors.As(err, &revoked) && !errors.Is(err, kmip.AuthenticationNotSuccessful) && !errors.Is(err, kmip.IdentityUnavailable)
}

// visible reports whether the caller may see the object: see the package's "Owners".
func (m *Manager) visible(who *protocol.Context, f *found) bool {
	return !m.isolates(who) || f.record.Project == who.ProjectID
}

// isolates reports whether the caller is kept to one project's objects.
func (m *Manager) isolates(who *protocol.Context) bool {
	return m.config.ProjectIsolation && who != nil && (who.ProjectID != "" || who.EmptyProject != "" && isSomebody(who))
}

// isSomebody reports whether the context says or proves who asks.
func isSomebody(who *protocol.Context) bool {
	return who.UserID != "" || len(who.AuthToken)+len(who.ServiceToken)+len(who.Castellan) > 0
}

// admit refuses a caller whose project is the empty string. Only the service itself has none (null): it sees all.
func (m *Manager) admit(who *protocol.Context) error {
	if m.isolates(who) && who.ProjectID == "" {
		return invalid("context.%s: must not be empty with a user or a token; null is no project", who.EmptyProject)
	}
	return nil
}

// read reads an object by the server's identifier, in one round trip.
func (m *Manager) read(ctx context.Context, id string, value bool) (*found, error) {
	var b kmip.Batch
	result := addRead(&b, id, value)
	if err := m.client.Run(ctx, &b); err != nil {
		return nil, err
	}
	return result()
}

// addRead adds to a batch what reads an object, the placeholder's where id is "". Where only its value cannot be read, the
// object is there beside the error.
func addRead(b *kmip.Batch, id string, value bool) func() (*found, error) {
	attributes := kmip.Add(b, &kmip.GetAttributes{UniqueIdentifier: id, Names: shown()})
	got := &kmip.Result[kmip.GetResponse]{}
	if value {
		got = kmip.Add(b, &kmip.Get{UniqueIdentifier: id})
	}
	return func() (*found, error) {
		switch {
		case attributes.Err != nil:
			return nil, attributes.Err
		case got.Response == nil:
			return newFound(attributes.Response, nil), got.Err
		}
		return newFound(attributes.Response, &got.Response.Object), nil
	}
}

// named reads the object that has the key id as its Name. What Locate found is believed only where the object itself
// shows the Name: there are servers that find other objects. The error, where nothing has the Name, is the one given, with
// which the key id was refused as an identifier.
func (m *Manager) named(ctx context.Context, keyID string, value bool, refused error) (*found, error) {
	var b kmip.Batch
	located := kmip.Add(&b, locate(keyID))
	result := addRead(&b, "", value)
	if err := m.client.Run(ctx, &b); err != nil {
		return nil, err
	}
	if located.Err != nil {
		return nil, located.Err
	}
	ids := located.Response.UniqueIdentifiers
	if len(ids) == 0 {
		return nil, refused
	}
	if f, err := result(); err == nil && f.has(keyID) {
		return f, nil
	}
	return m.oneOf(ctx, ids, keyID, value, refused)
}

// locate asks for the objects that have the Name.
func locate(name string) *kmip.Locate {
	return &kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute(name)}}
}

// withName are the server's identifiers of the objects that have the Name. Some servers say Item Not Found where there are none.
func withName(ctx context.Context, c *kmip.Client, name string) ([]string, error) {
	located, err := kmip.Do(ctx, c, locate(name))
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return located.UniqueIdentifiers, nil
}

// has reports whether the object has the key id as a Name.
func (f *found) has(keyID string) bool { return slices.Contains(f.attributes.Names(), keyID) }

// maxLocated is how many results of a Locate by a unique Name are looked at, for servers that ignore the Name. If none of
// these has it, one of the rest may have it, which is an error. But a key id is looked for among the Names only where the
// server's identifiers are no UUIDs: if they are, it would be the object's identifier, and there is no such object.
const maxLocated = 16

// oneOf reads the object with that Name out of several. More than one can have it on a server that does not keep Names
// unique, and carries out late a request that was given up and repeated. The oldest counts: it alone may have been read
// before there were others.
func (m *Manager) oneOf(ctx context.Context, ids []string, keyID string, value bool, refused error) (*found, error) {
	defer m.client.Pin(m.client.Pin(true))
	var all []*found
	for _, id := range ids[:min(len(ids), maxLocated)] {
		f, err := m.read(ctx, id, false)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if err == nil && f.has(keyID) {
			all = append(all, f)
		}
	}
	switch {
	case len(all) == 0 && len(ids) > maxLocated && (refused == nil || !protocol.IsUUID(ids[0])):
		return nil, &protocol.Error{Kind: protocol.Internal, Message: "the server's Locate ignores the Name: it returned " + strconv.Itoa(len(ids)) + " objects for one"}
	case len(all) == 0:
		return nil, refused
	}
	oldest := slices.MinFunc(all, older)
	oldest.twins = len(all) > 1
	if value {
		return m.read(ctx, oldest.id, true)
	}
	return oldest, nil
}

// older orders objects of one Name: existing before destroyed, then the oldest first.
func older(a, b *found) int {
	made, _ := a.attributes.Time(ttlv.TagInitialDate)
	other, _ := b.attributes.Time(ttlv.TagInitialDate)
	switch {
	case !a.destroyed() && b.destroyed():
		return -1
	case a.destroyed() && !b.destroyed():
		return 1
	}
	return cmp.Or(made.Compare(other), cmp.Compare(len(a.id), len(b.id)), cmp.Compare(a.id, b.id))
}

// expiration is when the object deactivates, nil for never.
func (f *found) expiration() *time.Time {
	at, ok := f.attributes.Time(ttlv.TagDeactivationDate)
	if !ok {
		return nil
	}
	return &at
}

// object is the object as callers see it. Its value is a copy.
func (f *found) object(keyID string) (*protocol.Object, error) {
	kind, err := f.kind()
	if err != nil {
		return nil, err
	}
	o := &protocol.Object{Type: kind, ID: keyID, Name: f.record.Name, State: f.state(), Consumers: f.consumers}
	if at, ok := f.attributes.Time(ttlv.TagInitialDate); ok {
		o.Created = at.Unix()
	}
	if kind.IsKey() {
		o.Algorithm, o.BitLength = f.algorithm()
	}
	if f.value == nil {
		return o, nil
	}
	value, err := f.value.Bytes()
	if err != nil {
		return nil, &protocol.Error{Kind: protocol.Unsupported, Message: err.Error()}
	}
	o.Value = append(secret.Bytes{}, value...)
	err = checkLength(o)
	if err == nil {
		err = f.checkClaims()
	}
	if err != nil {
		o.Clear()
		return nil, &protocol.Error{Kind: protocol.Internal, Message: "the server's answer is damaged: " + err.Error()}
	}
	return o, nil
}
