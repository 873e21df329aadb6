use crate::SettingsError;
use crate::settings::required;

/// The settings of the authorizer, from its environment.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// `JWT_ISSUER`: the issuer of the tokens, as their claim `iss` spells it; an `https` address
    pub issuer: String,
    /// `JWT_AUDIENCE`: the audience of the tokens
    pub audience: String,
}

impl IssuerSettings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`SettingsError`]: the first variable that is missing or cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads an environment: `variable` returns the value of the variable with a name.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let issuer = required(&variable, "JWT_ISSUER", ISSUER)?;
        let audience = required(&variable, "JWT_AUDIENCE", "the audience of the tokens")?;
        // Somebody who changes the keys on their way could make tokens of anybody.
        let is_address = issuer.starts_with("https://") && !issuer.contains(['?', '#']);
        if !is_address || reqwest::Url::parse(&issuer).is_err() {
            return Err(SettingsError::Invalid { name: "JWT_ISSUER", value: issuer, needed: ISSUER.to_owned() });
        }
        Ok(Self { issuer, audience })
    }
}

/// What `JWT_ISSUER` may be.
const ISSUER: &str = "an address such as https://issuer.example.com/, without a query,";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_issuer_by_https_is_taken() {
        let read = |issuer: &str, audience: &str| {
            IssuerSettings::read(|name| Some(if name == "JWT_ISSUER" { issuer } else { audience }.to_owned()))
        };
        let settings = read("https://issuer.example.com/tenant", "portraits").unwrap();
        assert_eq!((&*settings.issuer, &*settings.audience), ("https://issuer.example.com/tenant", "portraits"));
        for bad in
            ["http://issuer.example.com", "issuer.example.com", "https://", "https://a.example/?b", "https://a/#b"]
        {
            let error = read(bad, "portraits").unwrap_err().to_string();
            assert!(error.starts_with(&format!("JWT_ISSUER={bad:?} cannot be used: ")), "{error}");
        }
        assert_eq!(
            read("https://a.example", "").unwrap_err().to_string(),
            "JWT_AUDIENCE is not set: the audience of the tokens would work"
        );
        assert!(read("", "portraits").unwrap_err().to_string().starts_with("JWT_ISSUER is not set: "));
    }
}
