package webhook

// authTypes are the variants of config.auth.
var authTypes = Variants{By: "auth_type", List: []Variant{
	{
		Name: AuthBasic, Help: "HTTP basic authentication (RFC 7617)", Example: `{"auth_type": "basic", "username": "shop", "password": "secret"}`,
		Members: []Field{usernameField(), passwordField()},
	},
	{
		Name: AuthToken, Help: "Log in at a URL with user name and password, and send the token from its response",
		Example: `{"auth_type": "token", "url": "https://partner.example.com/login", "username": "shop", "password": "secret", "token_key": "access_token"}`,
		Members: []Field{
			{Name: "url", Kind: KindText, MaxLength: MaxTargetURL, Needed: true, Example: "https://partner.example.com/login", Help: "The URL to log in at, by POST"},
			usernameField(), passwordField(),
			{Name: "token_key", Kind: KindText, MaxLength: maxPointer, Default: `"` + defaultTokenKey + `"`, Example: "/data/token", Help: "The token's key in the response, or a JSON pointer to it"},
			{Name: "header_format", Kind: KindText, MaxLength: maxAuthText, Default: `"` + defaultHeaderFormat + `"`, Example: "Token {token}", Help: "The header's value, with {token} in place of the token"},
			{Name: "header_name", Kind: KindText, MaxLength: MaxHeaderName, Default: `"Authorization"`, Example: "X-Session", Help: "The header that carries the token"},
			{Name: "login_format", Kind: KindText, Choices: []string{LoginJSON, LoginForm}, Help: "The format of the login request's body"},
			{Name: "username_field", Kind: KindText, MaxLength: maxLoginField, Default: `"username"`, Example: "login", Help: "The name of the user name in the login request"},
			{Name: "password_field", Kind: KindText, MaxLength: maxLoginField, Default: `"password"`, Example: "pass", Help: "The name of the password in the login request"},
			{
				Name: "expires_in", Kind: KindNumber, Low: 0, High: maxTokenLife.Seconds(), Default: "3600", Example: "3600",
				Help: "How many seconds a token is valid if the response has no expires_in",
			},
		},
	},
	{
		Name: AuthOAuth2, Help: "The client credentials grant of OAuth 2.0 (RFC 6749 section 4.4)",
		Example: `{"auth_type": "oauth2", "token_url": "https://partner.example.com/oauth/token", "client_id": "shop", "client_secret": "secret", "scopes": ["orders"]}`,
		Members: []Field{
			{Name: "token_url", Kind: KindText, MaxLength: MaxTargetURL, Needed: true, Example: "https://partner.example.com/oauth/token", Help: "The URL to request tokens from"},
			{Name: "client_id", Kind: KindText, MaxLength: maxAuthText, Needed: true, Example: "shop", Help: "The client's id"},
			{Name: "client_secret", Kind: KindText, MaxLength: maxAuthText, Needed: true, Hidden: true, Example: "secret", Help: "The client's secret. It is never shown; sending auth back as it was shown keeps it"},
			{Name: "scopes", Kind: KindTexts, MaxItems: maxScopes, Example: `["orders"]`, Help: "The scopes to request"},
			{Name: "audience", Kind: KindText, MaxLength: maxAuthText, Example: "https://partner.example.com", Help: "The audience to request"},
			{Name: "params", Kind: KindTextMap, MaxItems: maxAuthParams, Example: `{"resource": "orders"}`, Help: "Additional parameters of the token request; their values are shown as ***"},
			{
				Name: "auth_style", Kind: KindText, Choices: []string{AuthStyleHeader, AuthStyleParams}, Default: "null",
				Help: "How the client authenticates: with basic authentication or with parameters; if absent, basic authentication is tried first",
			},
		},
	},
}}

func usernameField() Field {
	return Field{Name: "username", Kind: KindText, MaxLength: maxLoginField, Needed: true, Example: "shop", Help: "The user name"}
}

func passwordField() Field {
	return Field{Name: "password", Kind: KindText, MaxLength: maxAuthText, Needed: true, Hidden: true, Example: "secret", Help: "The password. It is never shown; sending auth back as it was shown keeps it"}
}

// AuthFields returns the required and the optional fields of an auth_type. Both are empty for an unknown one.
func AuthFields(authType string) (needed, others []string) {
	v := authTypes.Named(authType)
	if v == nil {
		return nil, nil
	}
	for i := range v.Members {
		if f := &v.Members[i]; f.Needed {
			needed = append(needed, f.Name)
		} else {
			others = append(others, f.Name)
		}
	}
	return needed, others
}
