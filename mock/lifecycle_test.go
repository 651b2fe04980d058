package mock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

// in brings a new key to a state.
func in(t *testing.T, c *kmip.Client, state kmip.State) string {
	id := do(t, c, createAES()).UniqueIdentifier
	switch state {
	case kmip.Active:
		do(t, c, &kmip.Activate{UniqueIdentifier: id})
	case kmip.Deactivated:
		do(t, c, &kmip.Activate{UniqueIdentifier: id})
		do(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.CessationOfOperation})
	case kmip.Compromised:
		do(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise})
	case kmip.Destroyed:
		do(t, c, &kmip.Destroy{UniqueIdentifier: id})
	case kmip.DestroyedCompromised:
		do(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise})
		do(t, c, &kmip.Destroy{UniqueIdentifier: id})
	}
	require.Equal(t, state, stateOf(t, c, id))
	return id
}

// TestLifeCycle is the table of section 3.22: what each operation makes of an object in each state.
func TestLifeCycle(t *testing.T) {
	const success = kmip.ResultReason(0)
	gone := kmip.ItemNotFound
	type after struct {
		reason kmip.ResultReason
		state  kmip.State
	}
	activate := func(t *testing.T, c *kmip.Client, id string) error {
		_, err := kmip.Do(t.Context(), c, &kmip.Activate{UniqueIdentifier: id})
		return err
	}
	revoke := func(code kmip.RevocationReasonCode) func(*testing.T, *kmip.Client, string) error {
		return func(t *testing.T, c *kmip.Client, id string) error {
			_, err := kmip.Do(t.Context(), c, &kmip.Revoke{UniqueIdentifier: id, Code: code})
			return err
		}
	}
	destroy := func(t *testing.T, c *kmip.Client, id string) error {
		_, err := kmip.Do(t.Context(), c, &kmip.Destroy{UniqueIdentifier: id})
		return err
	}
	get := func(t *testing.T, c *kmip.Client, id string) error {
		_, err := kmip.Do(t.Context(), c, &kmip.Get{UniqueIdentifier: id})
		return err
	}
	operations := []struct {
		name  string
		run   func(*testing.T, *kmip.Client, string) error
		after map[kmip.State]after
	}{
		{"Activate", activate, map[kmip.State]after{
			kmip.PreActive:            {success, kmip.Active},
			kmip.Active:               {kmip.PermissionDenied, kmip.Active},
			kmip.Deactivated:          {kmip.PermissionDenied, kmip.Deactivated},
			kmip.Compromised:          {kmip.PermissionDenied, kmip.Compromised},
			kmip.Destroyed:            {gone, kmip.Destroyed},
			kmip.DestroyedCompromised: {gone, kmip.DestroyedCompromised},
		}},
		{"Revoke, cessation", revoke(kmip.CessationOfOperation), map[kmip.State]after{
			kmip.PreActive:   {kmip.IllegalOperation, kmip.PreActive},
			kmip.Active:      {success, kmip.Deactivated},
			kmip.Deactivated: {kmip.IllegalOperation, kmip.Deactivated},
			kmip.Compromised: {kmip.IllegalOperation, kmip.Compromised},
			kmip.Destroyed:   {gone, kmip.Destroyed},
		}},
		{"Revoke, compromise", revoke(kmip.KeyCompromise), map[kmip.State]after{
			kmip.PreActive:   {success, kmip.Compromised},
			kmip.Active:      {success, kmip.Compromised},
			kmip.Deactivated: {success, kmip.Compromised},
			kmip.Compromised: {success, kmip.Compromised},
			kmip.Destroyed:   {gone, kmip.Destroyed},
		}},
		{"Destroy", destroy, map[kmip.State]after{
			kmip.PreActive:            {success, kmip.Destroyed},
			kmip.Active:               {kmip.PermissionDenied, kmip.Active},
			kmip.Deactivated:          {success, kmip.Destroyed},
			kmip.Compromised:          {success, kmip.DestroyedCompromised},
			kmip.Destroyed:            {gone, kmip.Destroyed},
			kmip.DestroyedCompromised: {gone, kmip.DestroyedCompromised},
		}},
		{"Get", get, map[kmip.State]after{
			kmip.PreActive:   {success, kmip.PreActive},
			kmip.Active:      {success, kmip.Active},
			kmip.Deactivated: {success, kmip.Deactivated},
			kmip.Compromised: {success, kmip.Compromised},
			kmip.Destroyed:   {gone, kmip.Destroyed},
		}},
	}
	for _, v := range kmip.Versions() {
		c := one(t, mock.Config{}, v)
		for _, op := range operations {
			for state, want := range op.after {
				t.Run(v.String()+"/"+op.name+"/"+state.String(), func(t *testing.T) {
					id := in(t, c, state)
					err := op.run(t, c, id)
					if want.reason == success {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, want.reason)
					}
					require.Equal(t, want.state, stateOf(t, c, id))
				})
			}
		}
	}
}

func TestDatesOfTheLifeCycle(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	id := in(t, c, kmip.Deactivated)
	do(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise, Compromise: ttlv.TimeValue(time.Unix(6, 0))})
	do(t, c, &kmip.Destroy{UniqueIdentifier: id})
	all := attributesOf(t, c, id)
	for _, tag := range []ttlv.Tag{
		ttlv.TagInitialDate, ttlv.TagActivationDate, ttlv.TagDeactivationDate, ttlv.TagCompromiseDate,
		ttlv.TagDestroyDate, ttlv.TagLastChangeDate,
	} {
		date, ok := all.Time(tag)
		require.True(t, ok, tag)
		require.WithinDuration(t, time.Now(), date, time.Minute, tag)
	}
	occurred, _ := all.Time(ttlv.TagCompromiseOccurrenceDate)
	require.Equal(t, int64(6), occurred.Unix())
}

func TestDatesMoveTheState(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	activation := func(at time.Time) kmip.Attribute { return kmip.TimeAttribute(ttlv.TagActivationDate, at) }
	deactivation := func(at time.Time) kmip.Attribute { return kmip.TimeAttribute(ttlv.TagDeactivationDate, at) }
	for _, test := range []struct {
		name  string
		dates []kmip.Attribute
		state kmip.State
	}{
		{"none", nil, kmip.PreActive},
		{"to be activated", []kmip.Attribute{activation(future)}, kmip.PreActive},
		{"activated", []kmip.Attribute{activation(past)}, kmip.Active},
		{"active for now", []kmip.Attribute{activation(past), deactivation(future)}, kmip.Active},
		{"deactivated", []kmip.Attribute{activation(past), deactivation(past)}, kmip.Deactivated},
		{"never activated", []kmip.Attribute{deactivation(past)}, kmip.PreActive},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := do(t, c, createAES(test.dates...)).UniqueIdentifier
			require.Equal(t, test.state, stateOf(t, c, id))
		})
	}
	refused(t, c, createAES(activation(future), deactivation(past)), kmip.InvalidField)
	expired := do(t, c, createAES(deactivation(past))).UniqueIdentifier
	refused(t, c, &kmip.Activate{UniqueIdentifier: expired}, kmip.InvalidField)
	require.Equal(t, kmip.PreActive, stateOf(t, c, expired))
	require.Empty(t, attributesOf(t, c, expired, ttlv.TagActivationDate))
	start := func(at time.Time) kmip.Attribute { return kmip.TimeAttribute(ttlv.TagProcessStartDate, at) }
	stop := func(at time.Time) kmip.Attribute { return kmip.TimeAttribute(ttlv.TagProtectStopDate, at) }
	refused(t, c, createAES(activation(future), start(past)), kmip.InvalidField)
	refused(t, c, createAES(stop(future), deactivation(past)), kmip.InvalidField)
	started := do(t, c, createAES(start(past), stop(future))).UniqueIdentifier
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: started, Attribute: start(future)}, kmip.PermissionDenied)
	do(t, c, &kmip.ModifyAttribute{UniqueIdentifier: started, Attribute: stop(past)})
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: started, Attribute: stop(future)}, kmip.PermissionDenied)

	id := do(t, c, createAES()).UniqueIdentifier
	do(t, c, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: activation(past)})
	require.Equal(t, kmip.Active, stateOf(t, c, id))
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: activation(future)}, kmip.PermissionDenied)
	do(t, c, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: deactivation(time.Now())})
	require.Equal(t, kmip.Deactivated, stateOf(t, c, id))
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: deactivation(future)}, kmip.PermissionDenied)
}

func TestAnOpaqueObjectHasNoState(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	id := do(t, c, &kmip.Register{Object: kmip.Object{Type: kmip.OpaqueObject, OpaqueDataType: kmip.OpaqueData, Value: ttlv.BytesValue([]byte("x"))}}).UniqueIdentifier
	refused(t, c, &kmip.Activate{UniqueIdentifier: id}, kmip.IllegalOperation)
	refused(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise}, kmip.IllegalOperation)
	require.Empty(t, attributesOf(t, c, id, ttlv.TagState))
	do(t, c, &kmip.Destroy{UniqueIdentifier: id})
}

func TestRevokeWantsAReasonThatFits(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	id := in(t, c, kmip.Active)
	when := ttlv.TimeValue(time.Now())
	refused(t, c, &kmip.Revoke{UniqueIdentifier: id}, kmip.InvalidField)
	refused(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: 8}, kmip.InvalidField)
	refused(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.CessationOfOperation, Compromise: when}, kmip.InvalidField)
	refused(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise, Compromise: ttlv.IntValue(1)}, kmip.InvalidField)
	do(t, c, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.CessationOfOperation, Message: "done"})
}

func TestAForgetfulServerForgets(t *testing.T) {
	c := one(t, mock.Config{Forgetful: true}, kmip.V1_4)
	id := do(t, c, createAES()).UniqueIdentifier
	do(t, c, &kmip.Destroy{UniqueIdentifier: id})
	refused(t, c, &kmip.GetAttributes{UniqueIdentifier: id}, kmip.ItemNotFound)
}

func TestOwnership(t *testing.T) {
	server := start(t, mock.Config{})
	mine, other := connect(t, server.Client(), kmip.V1_4), connect(t, server.OtherClient(), kmip.V1_4)
	id := do(t, mine, createAES(kmip.NameAttribute("mine"))).UniqueIdentifier

	denied := kmip.PermissionDenied
	refused(t, other, &kmip.Get{UniqueIdentifier: id}, denied)
	refused(t, other, &kmip.GetAttributes{UniqueIdentifier: id}, denied)
	refused(t, other, &kmip.GetAttributeList{UniqueIdentifier: id}, denied)
	refused(t, other, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.NameAttribute("x")}, denied)
	refused(t, other, &kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: kmip.NameAttribute("x")}, denied)
	refused(t, other, &kmip.DeleteAttribute{UniqueIdentifier: id, Name: kmip.AttributeName{Tag: ttlv.TagName}}, denied)
	refused(t, other, &kmip.Activate{UniqueIdentifier: id}, denied)
	refused(t, other, &kmip.Revoke{UniqueIdentifier: id, Code: kmip.KeyCompromise}, denied)
	refused(t, other, &kmip.Destroy{UniqueIdentifier: id}, denied)
	refused(t, other, createAES(kmip.NameAttribute("mine")), kmip.InvalidField)
	require.Empty(t, do(t, other, &kmip.Locate{}).UniqueIdentifiers)

	require.Equal(t, []string{id}, do(t, mine, &kmip.Locate{}).UniqueIdentifiers)
	do(t, mine, &kmip.Destroy{UniqueIdentifier: id})
	refused(t, other, &kmip.GetAttributes{UniqueIdentifier: id}, denied)
}

func TestNamesAreFreeAgainAfterDestroy(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V2_1)
	first := do(t, c, createAES(kmip.NameAttribute("n"))).UniqueIdentifier
	refused(t, c, createAES(kmip.NameAttribute("n")), kmip.NonUniqueNameAttribute)
	do(t, c, &kmip.Destroy{UniqueIdentifier: first})
	require.NotEqual(t, first, do(t, c, createAES(kmip.NameAttribute("n"))).UniqueIdentifier)
}
