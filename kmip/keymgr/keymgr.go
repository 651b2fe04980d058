// Package keymgr does with KMIP what OpenStack asks of a key manager: it gives objects ids and owners, leads them
// through their life and finds them again.
//
// # Key ids
//
// A key id is always a UUID in canonical text. Where the server's Unique Identifier is one, it is the key id. Where it is
// not, the key id is the Name that every object gets when it is made: a UUID of its own, by which Locate finds it. Either
// kind of id resolves on any host and for ever, without a table kept on this side.
//
// # Owners
//
// An object records who asked for it as Application Specific Information: openstack-project-id, openstack-user-id,
// openstack-request-id, and openstack-name, Castellan's name for it, which need not be unique. In standalone mode with
// project isolation, a caller with a project sees the objects of that project and no others; a caller without one is the
// service itself and sees all. An object of another project is not found, in the same words as one that does not exist; but
// an administrator who deletes one is forbidden to.
package keymgr

import (
	"context"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// Config is how a Manager behaves.
type Config struct {
	Activate         bool          // leave new objects Active
	ProjectIsolation bool          // keep the projects' objects apart
	ObjectGroup      string        // of new objects, "" for none
	Timeout          time.Duration // of one operation, with all its round trips and retries
	Identities       Identities    // of callers, for a server that understands the OpenStack credential; nil for any other

	// LeftBehind is called with the Name of an object that a server may have made and that nobody will use, since that server
	// gave no answer and another made it in its place. nil for nobody.
	LeftBehind func(server, name string)
}

// Manager is a protocol.KeyManager over a KMIP client. It is for one goroutine at a time. Its errors are of type
// *protocol.Error.
type Manager struct {
	config Config
	client *kmip.Client
	packed bool // the server takes but one instance of Application Specific Information
	missed bool // the last find left out hosts that could not be reached

	refusal error // what every request is answered with, nil where there is a client
}

// New makes a manager. The client stays the caller's to close.
func New(client *kmip.Client, config Config) *Manager {
	return &Manager{config: config, client: client}
}

// Refusing makes a manager that has no client and answers every request with the error, such as what is wrong with a
// configuration.
func Refusing(err *protocol.Error) *Manager { return &Manager{refusal: err} }

// begin bounds an operation. What it returns ends it, and overwrites the messages that were exchanged.
func (m *Manager) begin(ctx context.Context) (context.Context, func()) {
	m.client.FailBack()
	cancel := context.CancelFunc(func() {})
	if by, ok := ctx.Deadline(); !ok || time.Until(by) > m.config.Timeout {
		ctx, cancel = context.WithTimeout(ctx, m.config.Timeout)
	}
	return ctx, func() {
		cancel()
		m.client.Forget()
		m.client.Pin(false)
	}
}

// do is what all operations on keys have in common: a time limit, a caller who is admitted and for whom the requests speak,
// and errors in the protocol's words.
func do[A, R any](ctx context.Context, m *Manager, who *protocol.Context, args A, run func(context.Context, *protocol.Context, A) (*R, error)) (*R, error) {
	if m.refusal != nil {
		return nil, m.refusal
	}
	ctx, end := m.begin(ctx)
	defer end()
	if err := m.admit(who); err != nil {
		return nil, err
	}
	c, err := m.identify(ctx, who)
	if err != nil {
		return nil, err
	}
	defer m.speakFor(c)()
	result, err := run(ctx, c.Context, args)
	if err != nil {
		return nil, m.disowned(c, m.fail(err))
	}
	return result, nil
}

// CreateKey makes a symmetric key on the server.
func (m *Manager) CreateKey(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyID, error) {
	return do(ctx, m, who, args, m.createKey)
}

func (m *Manager) createKey(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyID, error) {
	if err := checkExpiration(args.Expiration); err != nil {
		return nil, err
	}
	spec, err := newSpec(args.Algorithm, args.Length)
	if err != nil {
		return nil, err
	}
	spec.usage = symmetricUsage(spec.algorithm)
	id, err := m.create(ctx, spec, m.describe(who, args.Name, args.Expiration))
	return &protocol.KeyID{KeyID: id}, err
}

// StoreKey registers an object that the caller has.
func (m *Manager) StoreKey(ctx context.Context, who *protocol.Context, args *protocol.StoreKey) (*protocol.KeyID, error) {
	return do(ctx, m, who, args, m.storeKey)
}

func (m *Manager) storeKey(ctx context.Context, who *protocol.Context, args *protocol.StoreKey) (*protocol.KeyID, error) {
	if err := checkExpiration(args.Expiration); err != nil {
		return nil, err
	}
	id, err := m.store(ctx, args.Object, m.describe(who, args.Object.Name, args.Expiration))
	return &protocol.KeyID{KeyID: id}, err
}

// GetKey reads an object.
func (m *Manager) GetKey(ctx context.Context, who *protocol.Context, args *protocol.GetKey) (*protocol.Object, error) {
	return do(ctx, m, who, args, m.getKey)
}

func (m *Manager) getKey(ctx context.Context, who *protocol.Context, args *protocol.GetKey) (*protocol.Object, error) {
	found, err := m.find(ctx, who, args.KeyID, !args.MetadataOnly)
	if err != nil {
		return nil, err
	}
	return found.object(args.KeyID)
}

// CopyKey registers a second object with the value of the first, for the caller. The copy of an expired key is expired too.
func (m *Manager) CopyKey(ctx context.Context, who *protocol.Context, args *protocol.CopyKey) (*protocol.KeyID, error) {
	return do(ctx, m, who, args, m.copyKey)
}

func (m *Manager) copyKey(ctx context.Context, who *protocol.Context, args *protocol.CopyKey) (*protocol.KeyID, error) {
	found, err := m.find(ctx, who, args.KeyID, true)
	if err != nil {
		return nil, err
	}
	object, err := found.object(args.KeyID)
	if err != nil {
		return nil, err
	}
	defer object.Clear()
	id, err := m.store(ctx, object, m.describe(who, object.Name, found.expiration()))
	return &protocol.KeyID{KeyID: id}, err
}

// DeleteKey destroys an object, whatever its state.
func (m *Manager) DeleteKey(ctx context.Context, who *protocol.Context, args *protocol.DeleteKey) (*protocol.Done, error) {
	return do(ctx, m, who, args, func(ctx context.Context, who *protocol.Context, args *protocol.DeleteKey) (*protocol.Done, error) {
		return &protocol.Done{}, m.anywhere(ctx, func(ctx context.Context) error {
			return m.delete(ctx, who, args.KeyID, args.Force)
		})
	})
}
