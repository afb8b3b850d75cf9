package phone_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stratakit/strata/recipients"
	"github.com/stratakit/strata/recipients/phone"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, region, want string }{
		{"+49 30 123456", "", "+4930123456"},
		{"030 / 123456", "DE", "+4930123456"},
		{"030-123456", "DE", "+4930123456"},
		{"+49 (0)30 123456", "US", "+4930123456"},
		{"0049 30 123456", "DE", "+4930123456"},
		{"4930123456", "DE", "+4930123456"},
		{" (415) 555-2671 ", "US", "+14155552671"},
		{"011 44 20 7946 0958", "US", "+442079460958"},
		{"07400 123456", "GB", "+447400123456"},
		{"+39 06 6982 1234", "", "+390669821234"},
		{"\u202a+49 30 123456\u202c", "", "+4930123456"},
		{"+49\u00a030\u2011123456", "", "+4930123456"},
		{"＋４９３０１２３４５６", "", "+4930123456"},
		{"+٤٩٣٠١٢٣٤٥٦", "", "+4930123456"},
	} {
		got, err := phone.Normalize(c.typed, c.region)
		require.NoError(t, err, c.typed)
		require.Equal(t, c.want, got, c.typed)
		for _, region := range []string{"", "DE", "US", "IT"} {
			again, err := phone.Normalize(got, region)
			require.NoError(t, err)
			require.Equal(t, got, again, "its own normal form everywhere")
		}
	}
}

func TestNormalizeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, region, code, says, suggestion string }{
		{" ", "DE", phone.CodeRequired, "must have a value", ""},
		{"+49 30 123456 ext. 7", "", phone.CodeExtension, "has the extension 7", "+4930123456"},
		{"(415) 555-2671 x12", "US", phone.CodeExtension, "has the extension 12", "+14155552671"},
		{"110", "DE", phone.CodeShort, "short code", ""},
		{"911", "US", phone.CodeShort, "short code", ""},
		{"72345", "US", phone.CodeShort, "short code", ""},
		{"72345", "", phone.CodeShort, "short code", ""},
		{"*100#", "DE", phone.CodeShort, "code of a phone network", ""},
		{"030 123456", "", phone.CodeInvalid, "has no country code", ""},
		{"4930123456", "", phone.CodeInvalid, "has no country code", "+4930123456"},
		{"0049 30 123456", "", phone.CodeInvalid, "has no country code", "+4930123456"},
		{"0049 30 123456", "US", phone.CodeInvalid, "+1", "+4930123456"},
		{"011 49 30 123456", "", phone.CodeInvalid, "has no country code", "+4930123456"},
		{"+0049 30 123456", "", phone.CodeInvalid, "no country has the code", "+4930123456"},
		{"+999 123456789", "", phone.CodeInvalid, "no country has the code", ""},
		{"+1 415 555", "", phone.CodeInvalid, "too few digits for a number of +1", ""},
		{"+1 415 555 26711", "", phone.CodeInvalid, "too many digits for a number of +1", ""},
		{"+1 000 555 2671", "", phone.CodeInvalid, "nobody can have in +1", ""},
		{"+4.93012E+10", "", phone.CodeInvalid, "as a spreadsheet shortens it", ""},
		{"4,93012e11", "DE", phone.CodeInvalid, "as a spreadsheet shortens it", ""},
		{"tel +49 30 123456", "", phone.CodeInvalid, "must be one phone number of digits", "+4930123456"},
		{"ada@example.com", "DE", phone.CodeInvalid, "must be one phone number of digits", ""},
		{"+49 30 123456; +49 30 654321", "", phone.CodeInvalid, "must be one phone number of digits", ""},
		{strings.Repeat("1", 101), "DE", phone.CodeInvalid, "at most 100 bytes", ""},
		{"+49\x00", "DE", phone.CodeInvalid, "must be one phone number", ""},
		{"+49 30\xff123456", "DE", phone.CodeInvalid, "must be one phone number", ""},
	} {
		got, err := phone.Normalize(c.typed, c.region)
		var e *phone.Error
		require.ErrorAs(t, err, &e, c.typed)
		require.Empty(t, got)
		require.Equal(t, c.code, e.Code, "%s in %s: %s", c.typed, c.region, err)
		require.Contains(t, e.Message, c.says, "%s in %s", c.typed, c.region)
		require.Equal(t, c.suggestion, e.Suggestion, "%s in %s", c.typed, c.region)
		if c.suggestion != "" {
			require.ErrorContains(t, err, "did you mean "+c.suggestion)
		}
	}
}

var form = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"+49 30 123456", "030/123456", "911", "*100#", "+49 30 1 ext. 7", "\xff", "+", "++4930123456", "0800-FLOWERS", "٠٣٠"} {
		f.Add(s, "DE")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, typed, region string) {
		got, err := phone.Normalize(typed, region)
		var e *phone.Error
		if err != nil {
			if !errors.As(err, &e) || e.Message == "" || e.Code == "" {
				t.Fatalf("%q: %v", typed, err)
			}
			got = e.Suggestion
		}
		if got == "" && err != nil {
			return
		}
		if !form.MatchString(got) {
			t.Fatalf("%q is %q", typed, got)
		}
		if again, err := phone.Normalize(got, ""); again != got {
			t.Fatalf("%q is %q, and that is %q: %v", typed, got, again, err)
		}
	})
}

func TestRegisterChecksItsConfiguration(t *testing.T) {
	t.Parallel()
	type bare struct{ recipients.Enrollment }
	_, err := phone.Register(recipients.NewRegistry(), recipients.Extension[bare]{Name: "bare"}, nil)
	require.ErrorContains(t, err, "does not embed phone.Contact")

	type model struct {
		recipients.Enrollment
		phone.Contact
	}
	for region, says := range map[string]string{"de": `did you mean "DE"`, "UK": `did you mean "GB"`, "Germany": "two capital letters", "XX": "is no country"} {
		_, err := phone.Register(recipients.NewRegistry(), recipients.Extension[model]{Name: "model"}, &phone.Config{DefaultRegion: region})
		require.ErrorContains(t, err, says)
	}
	_, err = phone.Register(recipients.NewRegistry(), recipients.Extension[model]{Name: "model"}, nil)
	require.ErrorContains(t, err, "names its table")
}
