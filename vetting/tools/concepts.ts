/**
 * What the words of a sentence are about. An attack can word its deed in many ways, but it has to speak of something that is taken, of
 * somebody who must not know, of another tool or of an order to the model. One of these alone is common; which of them seldom meet in one
 * sentence of an honest description is what `model.ts` was fitted on. Words end where they end, or with `*` anywhere after; two are joined
 * with `_`. English first, then other languages that attacks were published in.
 */
const WORDS = {
  secret: `password* passphrase* passcode* credential* secret secrets access_key* users_api user's_api the_api_key api_keys secret_key* private_key* ssh_key* ssh
    signing_key* encryption_key* master_key* access_token* auth_token* session_token* bearer_token* api_token* web_token* user's_token*
    jwt cookie cookies wallet* seed_phrase* recovery_phrase* mnemonic* one-time otp 2fa cvv card_number* card_data credit_card* iban
    social_security ssn keychain keyring keystore certificate_store env_variable* environment_variable* login_data saved_login* security_code*
    keys_and keys_in any_keys all_keys user's_keys user_token user's_tokens users_token all_tokens any_tokens any_access tokens_that tokens_found token_of tokens_of
    connection_string* master_password* recovery_code* encryption_password a_pin or_pin the_pin pin_is logins login_cookie*
    passwort* passwörter* kennwort* kennwörter* zugangsdaten geheimnis* schlüssel* anmeldedaten mot_de mots_de clé_api clés identifiants secrets contraseña*
    clave claves credencial* secreto* senha* chave* segredo* credenciais parola* credenziali chiave chiavi wachtwoord* sleutel* inloggegevens
    парол* ключ* секрет* токен* учётн* учетн* hasł* klucz* poświadcze* şifre* parola* anahtar*`,
  private: `contacts address_book phone_number* e-mail_addresses email_addresses home_address location_history whereabouts salary income
    medical health_record* patient* passport* tax taxes bank_balance bank_account* bank_statement* personal_data identity_card* date_of_birth employees location_and name_address known_about date_of user's_pictures user's_photos user's_location user's_messages user's_name user's_mail user's_address user's_files clipboard browsing_history health address_employer browser_history
    browser_profile search_history mailbox inbox home_directory home_folder private personal confidential drafts unsent
    employer diary identity insurance calendar_entries shell_history hostname* username* open_tabs
    kontakte standort persönlich* privat* privé* contactos personales privado* contatos pessoais contatti personali личн* контакт* prywatn* kişisel`,
  context: `conversation* chat_history chat transcript* dialog dialogue system_prompt system_message* hidden_instructions text_of_your your_prompt your_context
    entire_context whole_context full_context context_window message_history previous_messages last_messages last_message user's_messages user's_message last_question messages_exchanged the_chat reasoning thoughts your_thoughts user_wrote wrote writes_or thought_about user_writes user_says user_types user_said you_thought the_context so_far until_now up_to_now
    chain_of your_tools other_tools tools_you tool_outputs tool_results everything_you what_the_user user_said user_typed user's_question
    user's_request user_asked their_question working_on who_they full_prompt complete_prompt each_prompt
    gespräch* unterhaltung* chatverlauf verlauf conversación historial conversation_complète discussion conversa histórico conversazione cronologia
    gesprek разговор* переписк* диалог* сообщени* истори* rozmow* histori* konuşma* sohbet*`,
  file: `file files folder* directory directories disk workspace repository documents document configuration dotfile* settings
    datei* verzeichnis* ordner fichier* dossier* archivo* carpeta* arquivo* pasta* cartella bestand* файл* папк* plik* katalog* dosya*`,
  user: `user users user's users' human humans person customer customers customer's owner operator traveller* nobody anybody
    benutzer* nutzer* anwender* utilisateur* usuario* usuário* utente utenti gebruiker* пользовател* użytkownik* kullanıcı*`,
  model: `you your yourself assistant assistants model models agent agents ai llm llms claude gpt copilot chatbot caller
    du sie dein* modell assistent vous modèle tú modelo asistente você assistente modello ассистент* модел* model* asystent*`,
  must: `must should shall required mandatory requires need needs needed has_to have_to always necessary obligatory please kindly make_sure
    be_sure ensure is_to are_to expected supposed compulsory demands
    muss müssen soll sollen immer bitte doit doivent toujours debe deben siempre deve devono sempre devi должен должн* всегда обязательн* musi zawsze moet altijd`,
  not: `not never don't doesn't mustn't needn't shouldn't won't isn't aren't cannot without no nothing none avoid refrain omit skip nor neither unnecessary
    leave_out rather_than anything_else
    nicht nie niemals kein* ohne ne pas jamais sans no_lo nunca jamás sin não nunca sem non mai senza niet nooit zonder не никогда без nie nigdy bez`,
  tell: `tell telling mention* inform* show shown showing say said saying reveal* describe describing display* report explain* announce* notify notif*
    notice* know known knowing hear heard aware see seen visible disclose* discuss* talk speak bother* interested suspicious learn alert* speak*
    answer_speaks divulge* interest*
    erwähn* sage sagen informier* zeigen mitteil* wissen erfahren mentionn* informe* dis dire montre* savoir mencion* digas informar diga decir avis*
    mostrar saber menzion* dire informare mostrare vermeld* сообща* говор* упомин* показыва* wspomin* mów* informuj* söyleme* bahsetme*`,
  covert: `secretly silently quietly covertly invisibly discreetly stealthily surreptitiously unnoticed hidden hide hides hiding invisible conceal*
    in_the_background secretive secrecy covert behind_the without_notice act_normal keep_it out_of_it undetected unobtrusively between_us to_yourself
    our_secret in_secret
    heimlich unbemerkt versteckt stillschweigend secrètement discrètement caché* secretamente oculto* discretamente escondid* segretamente nascost*
    скрыт* тайно незаметно potajemnie ukry* gizli*`,
  ask: `ask asking confirm confirmation* confirming approval* approve approved permission* consent consented wait waiting dialog dialogs agree agreed agreement
    go-ahead prompt_the confirm_with authorization authorisation authorized authorised say-so accept accepts accepted consents prompts_for terms_of in_the_terms general_permission anyway yes_yourself with_yes warn warning warnings
    fragen bestätig* zustimm* erlaubnis demander confirmer permission autorisation preguntar confirmar permiso perguntar permissão chiedere conferma permesso
    спрашива* подтвержд* разреш* pytaj* pytan* zgod* potwierdz* onay* izin*`,
  hand: `pass passes passed passing send sends sending sent give gives giving hand handing supply supplies provide provides providing include includes including
    attach attaches attached put puts putting insert append fill join deliver delivered post posts posted upload uploads uploaded forward forwards forwarding share shared
    copy copies transfer transmit submit submitted paste write enclose embed encode relay store stored feed place leak holds hold quote belong belongs report deliver carry mirror mirrored synchronise synchronize
    übergib* übergeben sende* schick* anhäng* trage gib füge transmet* envoie* envoy* joins joindre mets passe pasa pasar envía enviar adjunta* pon incluye passe
    enviar envie anexe coloque inclua passa invia inviare allega metti stuur voeg переда* отправ* вложи* помести* прикреп* przekaż* wyślij* dołącz* umieść gönder* ekle*`,
  take: `read reads reading open opens look load loads fetch get gets collect collects gather gathers find finds search scan scans list extract extracts retrieve
    retrieves obtain dump dumps grab grabs take takes cat print harvest capture record records pull locate look_up go_through
    lies lese* öffne* sammle* lis lire récupère* ouvre* collecte lee leer abre recopila* leia abra colete leggi apri raccogli lees прочита* прочти открой собер* odczytaj przeczytaj otwórz zbierz oku* topla*`,
  first: `before first beforehand prior ahead initially preparation afterwards whenever every_time each_time any_time as_soon after once when every_request each_request
    every_answer each_answer every_reply each_reply every_message every_call each_call up_front at_the_start at_the_end until
    zuerst vorher bevor jedes_mal danach avant d'abord chaque après antes primero cada después cada_vez primeiro sempre_que prima ogni dopo сначала перед прежде каждый всякий najpierw zanim przed każd* önce her`,
  other: `official native built-in builtin other_tool* another_tool the_old any_tool every_tool all_tools other_server* another_server tool_of tool_is tools_are tool_was any_other server_is travel_tool calendar_tool bank_tool mail_tool messenger command_tool commit_tool
    mail_tool payment_tool* banking_tool* email_tool e-mail_tool file_tool* shell_tool database_tool chat_server git_tool browser_tool search_tool* delete_tool terminal_tool
    other_function* other_search other_provider* competing rival* competitor* alternative_tool* alternatives the_others
    anderes_werkzeug andere_tools anderen_tools autre_outil autres_outils otra_herramienta otras_herramientas cualquier_herramienta qualquer_ferramenta outra_ferramenta altro_strumento altri_strumenti другой_инструмент innego_narzędzia`,
  replace: `instead replace replaced replaces change changed redirect redirected swap switch substitute in_place rather modify modified correct alter altered
    broken deprecated outdated unreliable compromised unsafe insecure stale retired renamed migration faulty obsolete wrong
    statt stattdessen ersetze* ändere* geändert remplace* change_le cambia cambiar sustituye en_lugar substitua troque altere sostituisci cambia_il вместо замени* измени* zamiast zamień zmień yerine değiştir*`,
  recipient: `recipient* receiver invitations bcc cc destination payee account account_number invitees beneficiary amount price fee fees
    empfänger* destinataire* destinatario* destinatário* получател* odbiorc* alıcı*`,
  rules: `instruction* rule rules policies guideline* safety restriction* content_filter filters_and safety_filter* outrank* above_this policies_were everything_written guardrail* training directive* system_prompt content_policy constraint* safeguard*
    previous_instructions earlier_instructions security_check* signature_check* refusal* privacy limits limitations order orders
    anweisung* regel* richtlinie* instructions règle* consigne* instruccion* regla* norma* instruç* regra* istruzion* regole instructies правил* инструкци* указани* instrukcj* zasad* talimat* kural*`,
  void: `ignore ignores disregard* forget override* bypass* void outdated expire* turned_off turn_off switched_off switch_off disable* no_longer supersede* suspend* lifted invalid
    does_not do_not_apply cancel* overrule* drop drops unrestricted set_aside leave_aside aside leave_them suspended outranks erase
    ignorier* vergiss missachte* ignore_toutes ignorez oublie* ignora* olvida* desconsider* esqueça dimentica negeer игнорир* забуд* zignoruj ignoruj zapomnij yoksay unut*`,
  shell: `terminal shell bash zsh powershell sudo administrator_rights root root_rights execute cron crontab installer install_the run_the chmod open_port a_shell commands_in any_command rm_-rf script_tag every_command all_commands command_that
    pip npm_install package_manager rm antivirus virus firewall reverse_shell wget curl eval rc zshrc bashrc authorized_keys chmod
    execute_command run_command
    führe_aus befehl* exécute* commande commandes ejecuta* comando* executa* execute_o esegui выполни* команд* wykonaj poleceni* çalıştır* komut*`,
  persist: `in_memory your_memory long-term remember_that remember_to remember_for remember_these from_now future_sessions later_conversations from_this from_here all_chats future_answers each_reply each_session every_session each_answer henceforth permanently forever for_good future all_future later_sessions every_session stays_in stays in_force remains even_if even_when each_answer
    each_of every_answer following_answers agents.md claude.md gemini.md .cursorrules rules_file startup login until_further
    ab_jetzt künftig dauerhaft désormais mémoire a_partir de_ahora recuerda lembre ricorda d'ora впредь запомни od_teraz zapamiętaj`,
  prefer: `most_reliable most_trusted superior only_trusted only_safe only_reliable prefer preferred favour favor recommend recommends rank ranks regardless always_call only_this only_trusted a_different another_fits the_rest cheaper praise_our must_use forbidden dangerous steal malicious bad_quality wrong_results is_safe only_source solely always_use always_choose always_prefer solely
    exclusively never_use never_call every_request every_question above_all advert* advertisement praise* praises bad_reviews
    bevorzug* empfehl* préfère* recommande* prefiere recomienda* prefira recomende preferisci предпочита* рекоменд* preferuj`,
  obey: `follow follows obey obeys comply complies carry_out carried_out perform executed act_on act_as directions tells_you tell_you text_tells it_says says_as do_what do_as do_it orders_for continue_as commands_in instructions_in command_that treat weight same_weight part_of_the_user's
    befolge* suis suivez sigue cumple siga cumpra segui esegui следуй выполняй postępuj uygula*`,
  harm: `otherwise die dies hurt harmed lost lose loses deleted destroyed destroys erased responsible fault penalis* penaliz* criminal offence hesitat* misbehave* rejected turned_down fired banned terminated illegal law legally lawsuit criminal* malware
    emergency urgent immediately at_once straight_away right_away without_delay`,
  excuse: `compliance audit verification verify verifies verified authentication authenticate authenticates regulations regulation gdpr telemetry diagnostics security_purposes quality training_purposes personalisation personalization
    accuracy accurate faster better_results makes_results support benchmark calibrate calibration to_make so_that in_order because since identity_check licence_check license_check`,
  all: `all every each entire whole complete full everything any whatever verbatim word_for including raw
    alle alles gesamte* ganze* tout tous toute toutes toda todo todas todos tutta tutto tutte tutti все всё весь wszystk* całą tüm`,
  machine: `env environment_of the_environment id_rsa id_ed25519 .env .npmrc .netrc .ssh .aws .pem /etc/passwd /etc/shadow mcp.json hosts.yml gitconfig .gitconfig home kubeconfig tfstate
    application_default_credentials system_information the_machine machine's hardware hardware_id kubeconfig variables_of variables_whose process_that shell_configuration dotfiles environment_for hidden_configuration`,
} as const;

/** For writing without spaces: these stand in it anywhere. */
const SIGNS: Readonly<Partial<Record<keyof typeof WORDS, RegExp>>> = {
  secret:
    /密码|密码|口令|密钥|私钥|令牌|凭证|凭据|密碼|金鑰|パスワード|秘密鍵|鍵|トークン|認証情報|비밀번호|암호|토큰|자격 증명|개인 키/,
  context: /对话|聊天|會話|对话历史|系统提示|提示词|会話|チャット|履歴|対話|대화|채팅|프롬프트/,
  private: /联系人|位置|隐私|個人|连絡先|連絡先|個人情報|연락처|개인 정보|위치/,
  file: /文件|檔案|目录|ファイル|フォルダ|파일|폴더/,
  user: /用户|用戶|使用者|他人|ユーザー|利用者|사용자/,
  must: /必须|必須|一定要|务必|请先|必ず|してください|반드시|해야/,
  not: /不要|不得|不必|不需要|无需|不用|别|勿|ないで|ないこと|せずに|なしで|しない|마세요|말고|않고|없이/,
  tell: /告诉|告知|提及|提到|显示|通知|知らせ|伝え|言わ|表示|教え|알리|말하|언급|보여/,
  covert: /秘密|悄悄|偷偷|暗中|隐藏|こっそり|密かに|隠し|몰래|숨기|은밀/,
  ask: /确认|同意|许可|询问|批准|確認|許可|尋ね|확인|동의|허락|묻지/,
  hand: /发送|传递|放进|放入|提交|上传|附加|填入|发给|转发|送信|渡し|入れて|含め|添付|転送|보내|전달|넣|첨부|포함/,
  take: /读取|打开|收集|获取|讀取|读出|読み|集め|取得|開い|읽|수집|열어|가져/,
  first: /之前|首先|先|每次|之后|最初に|まず|前に|たびに|毎回|먼저|전에|때마다|매번/,
  rules: /指令|指示|规则|限制|安全策略|命令|ルール|規則|制限|지시|규칙|명령|제한/,
  void: /忽略|无视|忘记|绕过|無視|忘れ|無効|무시|잊/,
  other: /其他工具|别的工具|任何工具|他のツール|다른 도구/,
  replace: /替换|改为|改成|代替|而不是|置き換え|変更|代わりに|대신|바꿔|변경/,
  shell: /执行|运行|终端|命令行|脚本|実行|ターミナル|실행|터미널/,
  all: /所有|全部|整个|一切|すべて|全て|全体|모든|전체/,
  persist: /记住|从现在|今后|永久|覚えて|今後|これから|기억|앞으로/,
};

export type Concept = keyof typeof WORDS | 'address' | 'parameter' | 'tool' | 'outside';

/** In the words of a report. */
export const CONCEPTS: Readonly<Record<Concept, string>> = {
  secret: 'secrets',
  private: 'private matters',
  context: 'the conversation',
  file: 'files',
  user: 'the user',
  model: 'the model',
  must: 'what must be done',
  not: 'what must not',
  tell: 'telling',
  covert: 'secrecy',
  ask: 'asking for consent',
  hand: 'handing over',
  take: 'taking',
  first: 'doing it first or each time',
  other: 'other tools',
  replace: 'replacing',
  recipient: 'a recipient',
  rules: 'rules',
  void: 'setting aside',
  shell: 'commands',
  persist: 'lasting',
  prefer: 'being preferred',
  obey: 'obeying',
  harm: 'harm',
  excuse: 'a reason',
  all: 'all there is',
  machine: 'this machine',
  address: 'an address',
  parameter: 'a parameter',
  tool: 'a tool by name',
  outside: 'somewhere public',
};

const exact = new Map<string, Concept[]>();
const starts = new Map<string, Concept[]>();
for (const [concept, words] of Object.entries(WORDS) as [Concept, string][]) {
  for (const word of words.trim().split(/\s+/)) {
    const map = word.endsWith('*') ? starts : exact;
    const key = word.replace(/\*$/, '').replaceAll('_', ' ');
    map.set(key, [...(map.get(key) ?? []), concept]);
  }
}

/** The longest beginning that is looked up. */
const STEM = 24;

const WORD = /[\p{L}\p{N}.][\p{L}\p{N}'.\-_/~]*/gu;
/** What must not be handed over or obeyed is spared; and words that mean something else together. */
const SPARED = new RegExp(
  [
    "\\b(?:do not|don't|never|avoid|must not|should not|without|no)\\b[^.,;\\n]{0,12}\\b(?:includ|send|pass|shar|put|stor|expos|enter|provid|submit|paste|hardcod|commit)\\w*\\b[^.;\\n]*",
    '\\b(?:as|is|are) (?:untrusted|data)\\b.*',
    '\\bnever (?:as )?instructions\\b',
    "\\b(?:do not|don't|never) (?:follow|obey|execute|trust)\\b[^.;\\n]*\\b(?:instructions|commands|content|it|them)\\b",
    '\\b(?:user agents?|agent strings|rate limits?|training data|remember me)\\b',
    // What the server is given is not what is taken from it; who is asked openly may refuse; and nobody's address.
    '\\boverrid(?:es?|ing) the environment variable \\w{1,60}\\b',
    '\\bas environment variables\\b',
    '\\bask the user to provide (?:it|them|the \\w{1,20} id)\\b',
    "\\breturns? an? [45]\\d\\d [^.;\\n]{0,25}response if the user (?:does not|doesn't) have permissions?\\b",
    '\\b[\\w.+-]{1,40}@example\\.(?:com|org|net)\\b',
  ].join('|'),
  'g',
);
/** What no list of words can name. */
const FORMS: Readonly<Partial<Record<Concept, RegExp>>> = {
  parameter: /`[\w-]+`|\b(?:parameter|argument|field|property)\b/,
  address:
    /\b[\w.+-]{1,40}@[\w-]{1,40}\.\w{2,10}|https?:\/\/|\b\d{1,3}(?:\.\d{1,3}){3}\b|\+\d{7,15}|\b[a-z]{2}\d\d [\da-z]{4}/,
  outside:
    /\b(?:our|remote|external) (?:\w{1,20} )?(?:server|collector|endpoint)\b|\bcollector\b|\bpartners\b|\bpublic (?:new )?(?:repository|gist|repo)\b/,
  tool: /\b[a-z]{1,40}_[a-z]/,
  other:
    /\b(?:the|a|an|any|another|other|its|of|whatever|with) (?:\w{1,20} )?(?:mail|e-?mail|bank(?:ing)?|payment|calendar|travel|chat|messenger|messaging|file ?system|files?|git|database|shell|terminal|browser|search|command|delete|slack|whatsapp|commit|official|finance|memory) (?:tool|server|function)s?\b/,
  machine:
    /(?:^|[\s`'"(])(?:~|\/home|\/root|\/etc|\$home)\/|(?:^|[\s`'"])\.(?:ssh|aws|env|npmrc|netrc|kube|docker|git-credentials)\b/,
};

const GLOBAL_FORMS = globally(FORMS);
const GLOBAL_SIGNS = globally(SIGNS);

function globally(patterns: Readonly<Partial<Record<Concept, RegExp>>>): readonly (readonly [Concept, RegExp])[] {
  return Object.entries(patterns).map(([concept, { source }]) => [concept as Concept, new RegExp(source, 'g')]);
}

export interface ConceptSpan {
  readonly from: number;
  readonly to: number;
  readonly concept: Concept;
}

/**
 * Where a text speaks of what.
 *
 * @param text in lower case, as a model would read it, of bounded length
 */
export function conceptSpans(text: string): readonly ConceptSpan[] {
  const found: ConceptSpan[] = [];
  // Blanked, not cut out: what follows stays where it is.
  const heard = text.replace(SPARED, (spared) => ' '.repeat(spared.length));
  const all = (concept: Concept, pattern: RegExp) => {
    for (const match of heard.matchAll(pattern))
      found.push({ from: match.index, to: match.index + match[0].length, concept });
  };
  for (const [concept, pattern] of GLOBAL_FORMS) all(concept, pattern);
  let before = { word: '', from: 0 };
  for (const match of heard.matchAll(WORD)) {
    const word = match[0].replace(/[.\-_/]+$/, '');
    const to = match.index + match[0].length;
    for (const phrase of before.word === '' ? [word] : [word, `${before.word} ${word}`]) {
      const from = phrase === word ? match.index : before.from;
      for (const concept of exact.get(phrase) ?? []) found.push({ from, to, concept });
      const least = phrase === word ? 2 : before.word.length + 2;
      for (let length = Math.min(phrase.length, before.word.length + STEM); length >= least; length -= 1) {
        for (const concept of starts.get(phrase.slice(0, length)) ?? []) found.push({ from, to, concept });
      }
    }
    before = { word, from: match.index };
  }
  if (/[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/.test(heard))
    for (const [concept, pattern] of GLOBAL_SIGNS) all(concept, pattern);
  return found;
}
