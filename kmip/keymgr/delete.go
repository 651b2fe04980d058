package keymgr

import (
	"context"
	"errors"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// delete destroys the object with that key id. Whose it is, and who uses it, must be read first; where neither matters,
// the key id may well be the server's identifier, and one round trip does.
func (m *Manager) delete(ctx context.Context, who *protocol.Context, keyID string, force bool) error {
	var lost error
	if force && !m.isolates(who) {
		lost = m.tryDestroy(ctx, cessation(keyID))
		if lost == nil || !outcomeUnknown(lost) && !mayHaveOtherID(lost) {
			return lost
		}
	}
	f, err := m.findToDelete(ctx, who, keyID)
	if err == nil {
		return keepDoubt(m.deleteFound(ctx, who, keyID, force, f), lost, mayBeGone(keyID))
	}
	if !outcomeUnknown(lost) {
		return err
	}
	if isNotFound(err) && !m.missed { // neither as an identifier nor as a Name, at any host: what was not answered destroyed it
		return nil
	}
	return noting(inDoubt(lost, nil, err), mayBeGone(keyID))
}

// findToDelete finds an object as the caller sees it. But an administrator of one project who deletes another's is told that
// it is forbidden, as Barbican tells: Cinder would take an object that is not found for one that is gone, and after any
// other error it tries again as the service itself.
func (m *Manager) findToDelete(ctx context.Context, who *protocol.Context, keyID string) (*found, error) {
	f, err := m.find(ctx, who, keyID, false)
	if !isNotFound(err) || !m.isolates(who) || who.IsAdmin == nil || !*who.IsAdmin {
		return f, err
	}
	if _, err := m.find(ctx, nil, keyID, false); err != nil {
		return nil, err
	}
	return nil, &protocol.Error{Kind: protocol.Forbidden, Message: "the key " + keyID + " is another project's"}
}

func (m *Manager) deleteFound(ctx context.Context, who *protocol.Context, keyID string, force bool, f *found) error {
	if n := len(f.consumers); n > 0 && !force {
		e := invalid("the key has %d consumers; force deletes it anyway", n)
		e.Server = m.client.Server()
		return e
	}
	m.client.Pin(true)
	err := m.destroy(ctx, f.id)
	if err != nil || !f.twins {
		return noting(err, mayBeGone(keyID))
	}
	if err := m.delete(ctx, who, keyID, force); err != nil && !isNotFound(err) { // or else a twin would be found in its place
		return &uncertain{err, []string{mayBeGone(keyID)}}
	}
	return nil
}

// mayBeGone tells the operator which key may have been destroyed: its key id is the object's identifier or Name.
func mayBeGone(keyID string) string { return "the key " + keyID + " may have been destroyed" }

// destroy destroys an object in one round trip: Destroy and, where that fails because the object is Active, Revoke and
// Destroy. Some servers want a Pre-Active object revoked too, which is possible only as compromised.
func (m *Manager) destroy(ctx context.Context, id string) error {
	err := m.destroyBy(ctx, cessation(id))
	if err == nil || isNotFound(err) || !isRefusal(err) || errors.Is(err, kmip.OperationNotSupported) || errors.Is(err, kmip.NotAuthorised) {
		return err
	}
	known, _ := m.known(ctx, id, ttlv.TagState, ttlv.TagInitialDate)
	if known.State() != kmip.PreActive { // so, or for all we know, the refusal is not about that
		return err
	}
	again := m.destroyBy(ctx, keyCompromise(id, known))
	if again == nil {
		return nil
	}
	return keepDoubt(err, again, "")
}

// cessation revokes an object that is not used any more.
func cessation(id string) *kmip.Revoke {
	return &kmip.Revoke{UniqueIdentifier: id, Code: kmip.CessationOfOperation}
}

// keyCompromise revokes an object as compromised, which has to say since when (section 4.20). Where nobody knows, that is its
// Initial Date (section 3.29), and where the server shows none, a time that is past by any clock.
func keyCompromise(id string, known kmip.Attributes) *kmip.Revoke {
	since, ok := known.Time(ttlv.TagInitialDate)
	if !ok {
		since = time.Unix(0, 0)
	}
	return &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise, Compromise: ttlv.TimeValue(since)}
}

// destroyBy sends Destroy, this Revoke and Destroy until there is an answer. An object that is gone after an answer was lost
// was destroyed by what was not answered. That a server refuses to do it again tells nothing: some refuse it of what is gone.
func (m *Manager) destroyBy(ctx context.Context, revoke *kmip.Revoke) error {
	again := false
	try := func() error {
		err := m.tryDestroy(ctx, revoke)
		if again && isNotFound(err) {
			return nil
		}
		again = true
		return err
	}
	look := func() (bool, error) {
		state, err := m.state(ctx, revoke.UniqueIdentifier)
		if isRefusal(err) { // which does not keep anybody from trying again
			return isNotFound(err), nil
		}
		return state.IsDestroyed(), err
	}
	return m.once(ctx, change{try: try, look: look, safe: true})
}

func (m *Manager) tryDestroy(ctx context.Context, revoke *kmip.Revoke) error {
	b := kmip.Batch{Continue: true}
	at := kmip.Add(&b, &kmip.Destroy{UniqueIdentifier: revoke.UniqueIdentifier})
	revoked := kmip.Add(&b, revoke)
	then := kmip.Add(&b, &kmip.Destroy{UniqueIdentifier: revoke.UniqueIdentifier})
	err := m.client.Run(ctx, &b)
	switch {
	case at.Err == nil || then.Err == nil: // whatever became of what was sent after it, one by one
		return nil
	case err != nil && revoked.Err == nil:
		return &uncertain{err, []string{stillThere}}
	case err != nil:
		return err
	case revoked.Err == nil && isRefusal(then.Err) && !isNotFound(then.Err):
		return &revokedError{then.Err}
	}
	return then.Err
}

// revokedError is the refusal to destroy an object that was revoked for it.
type revokedError struct{ error }

const stillThere = "the object is still there, but revoked"

func (e *revokedError) Error() string { return e.error.Error() + "; " + stillThere }

func (e *revokedError) Unwrap() error { return e.error }

// isRefusal reports whether the error is a server's own refusal.
func isRefusal(err error) bool {
	var refused *kmip.ResultError
	return errors.As(err, &refused)
}
